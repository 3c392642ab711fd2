"""The networks of countries, from a real file in MaxMind's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.lists.country_reading import CountriesFailed, file_mark, read_countries
from tests.rig.country_file import write_country_file

COUNTRIES = {
    "192.0.2.0/25": "SE",
    "192.0.2.128/25": "NO",
    "198.51.100.0/24": "DK",
    "2001:db8::/33": "NO",
    "2a00::/16": "DK",
}


def test_the_networks_of_countries_are_read_and_joined(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    write_country_file(path, COUNTRIES)
    assert read_countries(path, ("SE", "NO")).to_text().split() == ["192.0.2.0/24", "2001:db8::/33"]
    assert read_countries(path, ("DK",)).to_text().split() == ["198.51.100.0/24", "2a00::/16"]


def test_a_country_without_networks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    write_country_file(path, COUNTRIES)
    with pytest.raises(CountriesFailed, match="XX has no networks in"):
        read_countries(path, ("XX",))


def test_no_file_and_a_broken_one_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    with pytest.raises(CountriesFailed, match="DOCKERFW_COUNTRY_FILE"):
        file_mark(None)
    with pytest.raises(CountriesFailed, match="No such file"):
        file_mark(path)
    with pytest.raises(CountriesFailed, match="cannot be used"):
        read_countries(path, ("SE",))
    path.write_bytes(b"<html>")
    with pytest.raises(CountriesFailed, match="cannot be used"):
        read_countries(path, ("SE",))
    write_country_file(path, COUNTRIES)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CountriesFailed, match="cannot be used"):
        read_countries(path, ("SE",))
