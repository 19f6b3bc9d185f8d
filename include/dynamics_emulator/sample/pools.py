"""Pools of names and texts in many languages and scripts.

Rows draw from them: a call of Faker for each cell would take minutes.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

from faker import Faker

LOCALES = (
    "en_US", "de_DE", "fr_FR", "pl_PL", "cs_CZ", "tr_TR", "vi_VN", "ru_RU", "uk_UA", "el_GR",
    "ja_JP", "zh_CN", "ko_KR", "ar_SA", "he_IL", "hi_IN", "th_TH",
)  # fmt: skip
_OF_EACH = 30
_PEOPLE = 3000
_SENTENCES = 15
_EXTRA_TEXTS = (
    "Follow-up 🚀 next week 👍🏽",
    "«Цитата» и тире — да",
    "半角ｶﾅと全角カナ",
    "مرحبا، كيف الحال؟",
    "שלום, מה שלומך?",
    "नमस्ते, आप कैसे हैं?",
    "สวัสดีครับ ยินดีที่ได้รู้จัก",
    "Family 👩‍👩‍👧‍👦, flag 🏳️‍🌈, keycap 1️⃣",
    "precomposed é, combining e\u0301",
    "English with עברית and العربية in one line",
    "He said \"100 % sure\", it's O'Brien\\Smith",
    "first line\nsecond line\r\nthird\tline",
)


@dataclass(frozen=True)
class Person:
    """A name with what belongs to its language."""

    first: str
    last: str
    city: str
    street: str
    postcode: str
    country: str
    job: str


@dataclass(frozen=True)
class Pools:
    """What the rows are drawn from."""

    people: tuple[Person, ...]
    companies: tuple[str, ...]
    texts: tuple[str, ...]
    paragraphs: tuple[str, ...]


@cache
def make_pools(seed: int) -> Pools:
    """Pools that are the same for the same seed."""
    source = Random(f"pools {seed}")
    people: list[Person] = []
    companies: list[str] = []
    texts: list[str] = list(_EXTRA_TEXTS)
    for locale in LOCALES:
        faker = Faker(locale)
        faker.seed_instance(seed)
        people += _mixed([_person(faker, locale) for _ in range(_OF_EACH)], source)
        companies += [faker.company() for _ in range(_OF_EACH)]
        texts += [faker.sentence(8) for _ in range(_SENTENCES)]
    paragraphs = [" ".join(source.choices(texts, k=source.randrange(5, 30))) for _ in range(_OF_EACH)]
    return Pools(tuple(people), tuple(companies), tuple(texts), tuple(paragraphs))


def _person(faker: Faker, locale: str) -> Person:
    return Person(
        first=faker.first_name(),
        last=faker.last_name(),
        city=faker.city(),
        street=faker.street_address().replace("\n", ", "),
        postcode=faker.postcode(),
        country=locale[-2:],
        job=faker.job(),
    )


def _mixed(drawn: list[Person], source: Random) -> list[Person]:
    """Many people of one language out of a few: first names, last names and places are combined anew."""
    count = _PEOPLE // len(LOCALES)
    draws = zip(*(source.choices(drawn, k=count) for _ in range(3)), strict=True)
    return [
        Person(one.first, other.last, place.city, place.street, place.postcode, place.country, other.job)
        for one, other, place in draws
    ]
