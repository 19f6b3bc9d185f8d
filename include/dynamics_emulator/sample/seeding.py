from pathlib import Path
def seed_organisation(folder: Path, rows: int = 12000, seed: int = 7) -> None:
    raise NotImplementedError
