"""Pools of names and texts in many languages.

Rows draw from them: a call of Faker for each cell would take minutes.
"""

from dataclasses import dataclass
from random import Random

from faker import Faker

LOCALES = ("en_US", "de_DE", "fr_FR", "pl_PL", "ru_RU", "ja_JP", "zh_CN", "ar_SA", "he_IL")
_POOL_SIZE = 50
_EXTRA_TEXTS = (
    "Follow-up 🚀 next week 👍🏽",
    "«Цитата» и тире — да",
    "半角ｶﾅと全角カナ",
    "مرحبا، كيف الحال؟",
    "שלום, מה שלומך?",
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

    def person(self, source: Random) -> Person:
        """First and last name of one language, and a place."""
        one, other = source.choice(self.people), source.choice(self.people)
        if one.country == other.country:
            return Person(one.first, other.last, one.city, other.street, one.postcode, one.country, other.job)
        return one


def make_pools(seed: int) -> Pools:
    """Pools that are the same for the same seed."""
    people: list[Person] = []
    companies: list[str] = []
    texts: list[str] = list(_EXTRA_TEXTS)
    for locale in LOCALES:
        faker = Faker(locale)
        faker.seed_instance(seed)
        people += [_person(faker, locale) for _ in range(_POOL_SIZE)]
        companies += [faker.company() for _ in range(_POOL_SIZE)]
        texts += [faker.sentence(8) for _ in range(_POOL_SIZE // 2)]
    return Pools(tuple(people), tuple(companies), tuple(texts))


def _person(faker: Faker, locale: str) -> Person:
    return Person(
        first=faker.first_name(),
        last=faker.last_name(),
        city=faker.city(),
        street=faker.street_address().replace("\n", ", "),
        postcode=faker.postcode()[:20],
        country=locale[-2:],
        job=faker.job()[:100],
    )
