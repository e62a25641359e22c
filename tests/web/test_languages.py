"""Pages are written in the language of the person, and nothing else is."""

from __future__ import annotations

import datetime
import functools
import json
import re
from concurrent.futures import Future
from pathlib import Path

import pytest

import translations
from support import pseudo_language
from support import studios
from triptych import data
from triptych import errors
from triptych import settings
from triptych.imports import formats as import_formats
from triptych.utils import formatting
from triptych.utils.queueing import Deadline
from triptych.utils.text import Text
from triptych.utils.text import from_json
from triptych.utils.text import ntext
from triptych.utils.text import text
from triptych.utils.text import to_json
from triptych.web import create_app
from triptych.web.languages.language import LANGUAGES
from triptych.web.registry import Registry

NO_BREAK = "\u00a0"
source = functools.cache(translations.collect)


@pytest.fixture
def client(tmp_path):
    registry = Registry(
        studios.fake_classifier, studios.catalogue("lite", "garden"), "lite", missing=lambda _: []
    )
    return create_app(settings.load({}, home=tmp_path), registry).test_client()


@pytest.mark.parametrize("language", translations.languages())
def test_every_text_is_translated(language):
    assert translations.faults(language, source()) == []


def test_all_catalogs_are_offered():
    assert sorted(set(LANGUAGES) - {"en", pseudo_language.CODE}) == translations.languages()


def test_a_fault_of_a_catalog_is_found(monkeypatch):
    complete, catalog = translations.read("de"), translations.read("de")
    message = catalog.get("Rename %(title)s")
    message.string = "%(titel)s umbenennen"
    catalog.get("Cancel").string = ""
    catalog.get("Sign in").flags.add("fuzzy")
    catalog.delete("Sign out")
    catalog.add("No longer used", "Nicht mehr benutzt")
    monkeypatch.setattr(translations, "read", lambda language: catalog)
    kinds = [line.partition(":")[0] for line in translations.faults("de", complete)]
    assert sorted(kinds) == ["empty", "fuzzy", "missing", "not in the source", "values differ"]


@pytest.mark.parametrize(
    ("accepts", "language"),
    [
        ("", "en"),
        ("fr, es;q=0.5", "en"),
        ("de", "de"),
        ("de-AT, en;q=0.8", "de"),
        ("fr, de;q=0.3, en;q=0.2", "de"),
        ("en, de", "en"),
        ("zh-CN, zh;q=0.9", "zh-Hans"),
        ("zh-TW, zh-Hant;q=0.9, en;q=0.8", "en"),
        ("de;q=0, en", "en"),
    ],
)
def test_the_browser_asks_for_a_language(client, accepts, language):
    response = client.get("/", headers={"Accept-Language": accepts})
    assert f'<html lang="{language}">' in response.text
    assert {"Accept-Language", "Cookie"} <= set(response.vary.to_header().split(", "))


def test_a_person_chooses_another_language_and_keeps_it(client):
    response = client.post("/language", data={"language": "de", "next": "/docs?a=1"})
    assert (response.status_code, response.location) == (303, "/docs?a=1")
    assert "Komitee fragen" in client.get("/", headers={"Accept-Language": "en"}).text
    client.post("/language", data={"language": "en"})
    assert "Ask the committee" in client.get("/", headers={"Accept-Language": "de"}).text


def test_the_choice_leads_nowhere_else(client):
    for path in ("//other.example", "https://other.example/", "/\\other.example"):
        response = client.post("/language", data={"language": "no-such", "next": path})
        assert response.location == "/"
        assert "Set-Cookie" not in response.headers


def test_programs_get_english(client):
    german = {"Accept-Language": "de"}
    answer = client.get("/api/v1/nothing", headers=german)
    assert answer.json["error"]["message"].startswith("The requested URL was not found")
    page = {**german, "X-Page-Language": "de"}
    assert client.get("/api/v1/nothing", headers=page).json["error"]["message"][:3] == "Die"


def test_scripts_get_their_texts_with_plurals(client):
    page = client.get("/", headers={"Accept-Language": "de"}).text
    messages = json.loads(page.split('id="script-messages">')[1].split("</script>")[0])
    assert messages["{n} photo chosen"] == {"one": "{n} Foto gewählt", "other": "{n} Fotos gewählt"}
    assert messages["Undone."] == {"other": "Rückgängig gemacht."}
    assert "script-messages" not in client.get("/").text


def written(language: str, value: str) -> str:
    return LANGUAGES[language].write(value).replace(NO_BREAK, " ")


def test_numbers_are_written_as_in_the_language():
    # Expected: Unicode CLDR 47, as browsers write it by Intl.
    at_s = datetime.datetime(2026, 11, 30, 7, 30).timestamp()
    values = (
        formatting.percent(0.9766),
        formatting.counted(1, "photo"),
        formatting.counted(2000, "photo"),
        formatting.size(32 * formatting.MB),
        formatting.duration(1401.0),
        formatting.accuracy(0.9, (0.596, 0.982), 10),
        formatting.change(-1.25),
        formatting.moment(at_s),
    )
    assert [written("en", value) for value in values] == [*map(str, values)]
    assert [written("de", value) for value in values] == [
        "97,7 %",
        "1 Foto",
        "2.000 Fotos",
        "32 MB",
        "1,4 Sek.",
        "59 bis 99 % (9 von 10 Fotos)",
        "-1,2",
        "30.11.2026 07:30",
    ]
    assert [written("zh_Hans", value) for value in values] == [
        "97.7%",
        "1 张照片",
        "2,000 张照片",
        "32 MB",
        "1.4秒",
        "59 至 99%\uff089 / 10 张照片\uff09",
        "-1.2",
        "2026年11月30日 07:30",
    ]


def test_sentences_inside_of_sentences_are_translated():
    sentence = text("{stage}: {done:,} of {total:,}.", stage=text("Waiting"), done=1, total=2000)
    assert sentence == "Waiting: 1 of 2,000."
    assert written("de", sentence) == "Wartet: 1 von 2.000."


def _a_folder(folder: Path) -> None:
    (folder / "ants").mkdir()
    (folder / "ants" / "1.png").touch()
    data.open(folder)


def _a_table(folder: Path) -> None:
    (folder / "list.csv").write_text("path,label\n1.png,ants\n")
    (folder / "1.png").touch()
    data.open(folder / "list.csv")


def _a_model(folder: Path) -> None:
    (folder / "model.pt").write_bytes(b"\x80\x02 torch")
    import_formats.recognize(folder / "model.pt")


def _a_deadline(folder: Path) -> None:
    Deadline(0.0).result(Future())


@pytest.mark.parametrize("fail", [_a_folder, _a_table, _a_model, _a_deadline])
def test_refusals_are_translated_with_their_reasons(fail, tmp_path):
    with pytest.raises(errors.TriptychError) as caught:
        fail(tmp_path)
    message = pseudo_language.PseudoLanguage().write(caught.value.message)
    # All its vowels are accented, except in what is a name or typed.
    given = (
        rf"{tmp_path.name}|ants/?|list\.csv|model\.pt|path,label(,split)?|cats/|dogs/|train/|val/"
    )
    words = re.sub(rf"{given}|torch\.onnx\.export", "", message)
    assert re.findall(r"[a-z]*[aeiou][a-z]+", words) == []


def test_names_are_between_the_quotation_marks_of_the_language():
    sentence = text("There is no key {name!r}; there are: {names}.", name="O'Neil", names="-")
    assert sentence == """There is no key "O'Neil"; there are: -."""
    assert written("de", sentence) == "Es gibt keinen Schlüssel „O'Neil“; vorhanden: -."
    assert "“O'Neil”" in written("zh_Hans", sentence)


def test_sentences_stay_sentences_in_errors_and_between_processes():
    error = errors.SettingError(ntext("{n:,} photo", "{n:,} photos", 1))
    assert isinstance(error.message, Text)
    sent = from_json(to_json({"failed": error.message, "size": formatting.size(2048), "rest": [1]}))
    assert sent == {"failed": "1 photo", "size": "2 kB", "rest": [1]}
    assert written("de", sent["failed"]) == "1 Foto"
    assert written("zh_Hans", sent["size"]) == "2 kB"
    error = text("{path} cannot be read: {error}.", path=Path("a.csv"), error=ValueError("damaged"))
    assert from_json(to_json(error)) == "a.csv cannot be read: damaged."
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json({"path": Path("a.csv")})
