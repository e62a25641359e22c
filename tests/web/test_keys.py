"""Keys: what each role may do on every route, one committee for guests, and taking keys back."""

from __future__ import annotations

import html
import io
import json
import re
import stat
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask

from support import oidc_provider
from support import studios
from support.bundles import write_with_metrics
from support.images import squares
from triptych import errors
from triptych import settings
from triptych.cli import main
from triptych.cli.keys import ROLES as OFFERED
from triptych.studio.keys import FILE
from triptych.studio.keys import ROLES
from triptych.studio.keys import Keys
from triptych.web import access

OWNERS = "the key of the settings"
PATIENCE_S = 300
API = "/api/v1/classify"
# Who may use each endpoint at least: anybody, a key for one committee, or a role.
ENDPOINTS = {
    "anybody": """
        access.sign_in access.sign_out figures.static languages.choose probes.live probes.ready
        sso.finish sso.leave sso.left sso.start static v2.live v2.ready
    """,
    "one": """
        api.classify api.committees api.explain classify.page studio_publish.share
        tfserving.metadata tfserving.predict tfserving.status v2.config v2.infer v2.metadata
        v2.model_ready v2.server
    """,
    "ask": """
        api-docs.openapi_json classify.similar docs.docs metrics repository.index
    """,
    "teach": """
        api.bundles api.models api.one_bundle
        import_api.answer_import import_api.one_import import_api.start_import
        import_api.stop_import
        inbox_api.dismiss inbox_api.file inbox_api.inbox inbox_api.move inbox_api.preview
        inbox_api.put_back
        project_api.add_class project_api.add_photos project_api.bundle_file
        project_api.change_project project_api.decide project_api.erase_photos
        project_api.export_file project_api.exports project_api.file project_api.findings
        project_api.accept_offer project_api.comparison project_api.heap project_api.heap_photos
        project_api.start_comparison project_api.stop_comparison project_api.undo_sorting
        project_api.history project_api.int8 project_api.job_events project_api.jobs
        project_api.label_issues project_api.make_project project_api.one_job
        project_api.one_photo project_api.one_project project_api.photos project_api.preview
        project_api.projects project_api.publish
        project_api.remove_class project_api.remove_export project_api.rename_class
        project_api.result project_api.result_photos project_api.resume_job
        project_api.start_export project_api.start_int8 project_api.start_job
        project_api.stop_export project_api.stop_int8 project_api.stop_job project_api.undo
        project_api.versions
        studio.add studio.add_class studio.erase studio.full
        studio.job studio.make studio.photos studio.projects studio.remove_class studio.rename
        studio.set_kind
        studio.rename_class studio.resume studio.start studio.stop studio.take_in studio.teach
        studio.drawing studio.thumb studio.try_out studio.try_sample
        studio_decisions.decide studio_decisions.history
        studio_decisions.retrain studio_decisions.undo studio_exports.download studio_exports.job
        studio_exports.remove studio_exports.start studio_exports.stop studio_imports.again
        studio_imports.form studio_imports.one studio_imports.progress studio_imports.start
        studio_imports.stop studio_int8.job studio_int8.start studio_int8.stop
        studio_publish.activate studio_publish.bundles
        studio_sorting.decide studio_sorting.inbox studio_sorting.job studio_sorting.sort
        studio_sorting.start studio_sorting.stop studio_sorting.undo
        studio_publish.download studio_publish.edit studio_publish.one studio_publish.publish
        studio_review.cell studio_review.compare studio_review.label_issues
        studio_review.old_label_issues studio_review.report studio_review.result
    """,
    "own": """
        project_api.remove_project project_api.remove_version
        fetching.start fetching.state fetching.stop keys.make keys.page keys.remove
        repository.load repository.unload studio.remove studio_disk.free studio_disk.page
        studio_disk.remove_version
    """,
}
LEAST = {name: who for who, names in ENDPOINTS.items() for name in names.split()}
METHODS = ("POST", "PATCH", "DELETE", "GET")
RANKS = ("anybody", "one", "ask", "teach", "own")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_with_metrics(tmp_path, "base", "x", "y")
    write_with_metrics(tmp_path, "garden", "wasp", "hornet")
    write_with_metrics(tmp_path, "garden", "ant", "bee")
    return tmp_path


def studio(home: Path, **options: object) -> Flask:
    return studios.app_over(home, "base", **options)


def with_key(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


# ------------------------------------------------------------------ what each key is good for


def test_every_route_against_every_kind_of_key(home):
    keys = Keys(home)
    texts = {role: keys.add(role, role)[1] for role in ROLES}
    texts["one"] = keys.add("guests", "ask", committee="garden")[1]
    with oidc_provider.running() as provider:
        rules = "; ".join(f"{role}:is={role}" for role in ROLES)
        app = studio(home, api_key=OWNERS, **provider.settings(rules))
        people = {role: app.test_client() for role in ROLES}
        for role, person in people.items():
            provider.person = oidc_provider.Person(role, {"name": role, "is": role})
            oidc_provider.come_back(person, oidc_provider.visit(person))
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == set(LEAST)
    # What is behind the gate is not carried out, so that one request does not change the next.
    for endpoint in app.view_functions:
        app.view_functions[endpoint] = lambda **_: "inside"
    client = app.test_client()
    example = {"string": "garden", "path": "studio.css", "int": "1"}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:(\w+):)?\w+>", lambda part: example[part[1] or "string"], rule.rule)
        method = next(name for name in METHODS if name in rule.methods)
        for who in RANKS:
            headers = with_key(texts[who]) if who in texts else {}
            status = client.open(path, method=method, headers=headers).status_code
            is_let_in = RANKS.index(who) >= RANKS.index(LEAST[rule.endpoint])
            refused = 401 if who == "anybody" else 403
            assert status == (200 if is_let_in else refused), (method, path, who)
            if who in people:
                assert people[who].open(path, method=method).status_code == status
        assert client.open(path, method=method, headers=with_key(OWNERS)).status_code == 200


def test_an_endpoint_without_a_role_is_the_owners(home):
    app = studio(home, api_key=OWNERS)
    app.add_url_rule("/new", "new", lambda: "inside")
    client = app.test_client()
    teaching = with_key(Keys(home).add("Anna", "teach")[1])
    assert client.get("/new", headers=teaching).status_code == 403
    assert client.get("/new", headers=with_key(OWNERS)).text == "inside"
    assert client.get("/nothing", headers=teaching).status_code == 404


def test_a_guest_asks_one_committee(home):
    guest = with_key(Keys(home).add("guests", "ask", committee="garden")[1])
    client = studio(home, api_key=OWNERS).test_client()

    def ask(path: str, **options: object) -> int:
        return client.post(
            path, data=squares(), content_type="image/png", headers=guest, **options
        ).status_code

    answer = client.post(API, data=squares(), content_type="image/png", headers=guest)
    guesses = answer.json["results"][0]["verdict"]["top"]
    assert {guess["label"] for guess in guesses} <= {"ant", "bee"}  # not of the default
    assert ask(f"{API}?committee=garden") == 200
    assert ask(f"{API}?committee=base") == 403
    assert ask(f"{API}?committee=garden@2") == 200  # the published version
    assert ask(f"{API}?committee=garden@1") == 403
    assert ask("/api/v1/explain?committee=base") == 403
    form = {"committee": "base", "image": (io.BytesIO(squares()), "cat.png")}
    assert client.post("/", data=form, headers=guest).status_code == 403
    versions = client.get("/v1/models/garden", headers=guest).json["model_version_status"]
    assert [each["version"] for each in versions] == ["2"]
    for path in ("/v2/models/base", "/v1/models/base", "/v1/models/garden/versions/1", "/c/base"):
        assert client.get(path, headers=guest).status_code == 403, path
    for path in ("/v2/models/garden", "/v1/models/garden", "/c/garden"):
        assert client.get(path, headers=guest).status_code == 200, path
    listed = client.get("/api/v1/committees", headers=guest).json
    assert (listed["default"], [each["name"] for each in listed["committees"]]) == (
        "garden",
        ["garden"],
    )
    page = client.get("/", headers={**guest, "Accept": "text/html"}).text
    assert "garden" in page
    assert not re.search(r"\bbase\b", page)
    assert "/projects" not in page


def test_the_link_for_guests_opens_one_page(home):
    client = studio(home, api_key=OWNERS).test_client()
    form = {"name": "Guests of the fair", "role": "ask", "committee": "garden"}
    page = client.post("/keys", data=form, headers=with_key(OWNERS)).text
    link = html.unescape(re.search(r"<code translate=.no.>(http\S+)</code>", page)[1])
    text = Keys(home).all() and re.search(r"<code translate=.no.>(triptych-\S+)</code>", page)[1]
    assert link == f"http://localhost/c/garden?key={text}"
    assert client.get("/c/garden").status_code == 401
    entered = client.get(link)
    assert 'content="0; url=/c/garden"' in entered.text
    assert text not in entered.text
    assert entered.headers["Cache-Control"] == "no-store"
    assert client.get("/c/garden").status_code == 200
    assert client.get("/projects").status_code == 403
    assert client.get("/c/garden?key=another").status_code == 200  # who is in stays in
    wrong = client.application.test_client()
    assert wrong.get("/c/garden?key=another").status_code == 401


def test_who_owns_the_studio_is_not_made_a_guest_by_a_link(home):
    client = studio(home, api_key=OWNERS).test_client()
    client.post("/sign-in", data={"key": OWNERS})
    guest = Keys(home).add("guests", "ask", committee="garden")[1]
    assert client.get(f"/c/garden?key={guest}").status_code == 200
    assert client.get("/keys").status_code == 200


# ------------------------------------------------------------------ making and taking back


def test_a_key_that_is_taken_back_is_refused_at_once(home):
    keys = Keys(home)
    owner, anna = keys.add("owner", "own")[1], keys.add("Anna", "teach")[1]
    app = studio(home)
    browser = app.test_client()
    assert browser.post("/sign-in", data={"key": anna}).status_code == 303
    assert browser.get("/projects").status_code == 200
    page = app.test_client().get("/keys", headers=with_key(owner)).text
    assert "Anna" in page
    assert anna not in page
    (record,) = [key for key in keys.all() if key.name == "Anna"]
    assert record.digest not in page
    removed = app.test_client().post(f"/keys/{record.id}/remove", headers=with_key(owner))
    assert removed.status_code == 303
    assert browser.get("/projects").status_code == 401
    assert browser.get("/projects", headers=with_key(anna)).status_code == 401
    assert browser.get("/projects", headers=with_key(owner)).status_code == 200


def test_the_studio_stays_closed_when_the_last_key_is_taken_back(home):
    keys = Keys(home)
    keys.add("owner", "own")
    client = studio(home).test_client()
    assert client.get("/").status_code == 401
    keys.remove("owner")
    assert client.get("/").status_code == 401


def test_the_first_key_closes_the_studio_but_not_to_who_makes_it(home):
    app = studio(home)
    client, other = app.test_client(), app.test_client()
    assert client.get("/keys").status_code == other.get("/projects").status_code == 200
    form = {"name": "guests", "role": "ask"}
    refused = client.post("/keys", data=form)
    assert refused.status_code == 400
    assert "The first key has the role" in html.unescape(refused.text)
    assert client.post("/keys", data={"name": "Anna", "role": "own"}).status_code == 200
    assert client.get("/keys").status_code == 200
    assert other.get("/projects").status_code == 401
    assert client.post("/keys", data=form).status_code == 200
    assert [key.name for key in Keys(home).all()] == ["Anna", "guests"]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"name": "", "role": "ask"}, "The name of a key is ''; expected 1 to 60 characters"),
        ({"name": "a\x07b", "role": "ask"}, "characters that can be printed"),
        ({"name": "Owner", "role": "ask"}, "There is a key named 'Owner' already"),
        ({"name": "x", "role": "king"}, "expected one of: ask, teach, own"),
        ({"name": "x", "role": "own", "committee": "garden"}, "can only have the role 'ask'"),
        ({"name": "x", "role": "ask", "committee": "nobody"}, "no committee 'nobody' on offer"),
        ({"name": "x", "role": "ask", "requests_per_minute": "-1"}, "expected a number"),
    ],
)
def test_what_a_key_cannot_be_is_refused(home, form, message):
    owner = Keys(home).add("owner", "own")[1]
    client = studio(home).test_client()
    response = client.post("/keys", data=form, headers=with_key(owner))
    assert response.status_code in (400, 404)
    assert message in response.json["error"]["message"]
    assert len(Keys(home).all()) == 1


def test_only_a_hash_is_stored_and_only_for_the_owner_of_the_file(tmp_path):
    key, text = Keys(tmp_path).add("Anna", "teach")
    content = (tmp_path / FILE).read_text()
    assert text not in content
    assert text not in repr(key)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_damaged_file_lets_nobody_in_but_the_key_of_the_settings(home):
    anna = Keys(home).add("Anna", "own")[1]
    app, with_own = studio(home), studio(home, api_key=OWNERS)
    for damage in ("{", "[]", '{"secret": "x", "keys": [{"role": "own"}]}'):
        (home / FILE).write_text(damage)
        for headers, status in (({}, 401), (with_key(anna), 500)):
            assert app.test_client().get("/projects", headers=headers).status_code == status
        client = with_own.test_client()
        assert client.get("/projects", headers=with_key(OWNERS)).status_code == 200
    with pytest.raises(errors.StateError, match="make the keys anew"):
        access.check(settings.load({}, home=home), insecure=False, say=print)


def test_keys_suffice_to_listen_for_other_machines(home):
    in_force = settings.load({}, home=home, host="0.0.0.0")
    with pytest.raises(errors.SettingError, match="triptych keys add NAME --role own"):
        access.check(in_force, insecure=False, say=print)
    Keys(home).add("Anna", "own")
    access.check(in_force, insecure=False, say=pytest.fail)


def test_keys_are_made_by_several_processes_at_once(tmp_path):
    def make(number: int) -> None:
        Keys(tmp_path).add(f"key {number}", "ask")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Keys(tmp_path).all()) == 8


# ------------------------------------------------------------------ limits, log, use


def test_a_key_has_a_limit_of_its_own(home):
    keys = Keys(home)
    few = with_key(keys.add("few", "ask", requests_per_minute=2)[1])
    many = with_key(keys.add("many", "ask")[1])
    client = studio(home).test_client()
    got = [client.get("/api/v1/committees", headers=few) for _ in range(3)]
    assert [response.status_code for response in got] == [200, 200, 429]
    assert "with the key of few" in got[-1].json["error"]["message"]
    assert int(got[-1].headers["Retry-After"]) >= 1
    assert client.get("/api/v1/committees", headers=many).status_code == 200


def test_the_log_names_the_key(home, caplog):
    anna = Keys(home).add("Anna", "ask")[1]
    client = studio(home).test_client()
    with caplog.at_level("INFO", "triptych"):
        client.get("/api/v1/committees", headers=with_key(anna))
        client.get("/api/v1/committees")
    assert [record.fields["key"] for record in caplog.records] == ["Anna", None]
    assert anna not in caplog.text


def test_the_last_use_is_written_now_and_then(home):
    keys = Keys(home)
    anna = keys.add("Anna", "ask")[1]
    app = studio(home)
    app.test_client().get("/api/v1/committees", headers=with_key(anna))
    end = time.monotonic() + PATIENCE_S
    while keys.all()[0].used_s is None:
        assert time.monotonic() < end, "it was not written"
        time.sleep(0.02)
    (key,) = keys.all()
    before = (home / FILE).stat().st_mtime_ns
    app.test_client().get("/api/v1/committees", headers=with_key(anna))
    assert (home / FILE).stat().st_mtime_ns == before
    assert not keys.is_use_due(key)


# ------------------------------------------------------------------ in the terminal


def test_the_command_makes_lists_and_removes_keys(tmp_path):
    def run(*arguments: str):
        return CliRunner().invoke(main, ["keys", *arguments, "--home", str(tmp_path)])

    assert OFFERED == ROLES
    assert "There are no keys" in run("list").output
    made = run("add", "Guests", "--committee", "garden")
    assert made.exit_code == 0
    assert "No key owns the studio yet" in made.stderr
    assert Keys(tmp_path).find(made.stdout.strip()).committee == "garden"
    assert "Keep it now" in run("add", "Anna", "--role", "own").stderr
    rows = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [(row["name"], row["role"], row["committee"]) for row in rows] == [
        ("Guests", "ask", "garden"),
        ("Anna", "own", None),
    ]
    assert "digest" not in rows[0]
    assert re.search(r"Guests +ask +garden +\S+ \S+ +never", run("list").output)
    assert run("remove", "nobody").exit_code == 2
    assert "Removed the key of Guests" in run("remove", "Guests").output
    assert [key.name for key in Keys(tmp_path).all()] == ["Anna"]


# ------------------------------------------------------------------ who decided


def test_the_history_says_who_decided(home):
    keys = Keys(home)
    anna, bert = (with_key(keys.add(name, "teach")[1]) for name in ("Anna", "Bert"))
    app = studio(home)
    projects = app.extensions["triptych"].projects
    key = projects.make("Fair").key
    cat, dog = (projects.add_class(key, name).id for name in ("cat", "dog"))
    client = app.test_client()
    form = {"class": str(cat), "photo": (io.BytesIO(squares()), "one.png")}
    assert client.post(f"/projects/{key}/photos", data=form, headers=anna).status_code == 200
    (photo,) = projects.photos(key)
    for headers, do in ((anna, f"move:{dog}"), (bert, "right"), (anna, "exclude")):
        form = {"digest": photo.digest, "do": do}
        done = client.post(f"/projects/{key}/decisions", data=form, headers=headers)
        assert done.status_code == 200
    client.post(f"/projects/{key}/classes/{dog}/remove", headers=bert)
    assert [each.person for each in projects.history(key)] == ["Bert", "Anna", "Bert", "Anna"]
    page = client.get(f"/projects/{key}/decisions", headers={**anna, "Accept": "text/html"}).text
    assert re.findall("Anna|Bert", page) == ["Bert", "Anna", "Bert", "Anna"]
