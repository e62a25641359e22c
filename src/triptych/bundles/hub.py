"""Bundles on the Hugging Face Hub: one repository each, a version is a commit.

    <home>/fetched/hub--<user>--<name>--<commit>/1/   the bundle; written atomically

The repository has the files of the bundle as they are, with its model card on top. The Hub's client
finds the endpoint and the token where it always does (``HF_ENDPOINT``, ``HF_TOKEN``, ``hf auth
login``); the token is neither read nor shown here.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import errors
from triptych.bundles import archive
from triptych.bundles import card_text
from triptych.bundles.reading import ABOUT
from triptych.bundles.reading import Bundle
from triptych.bundles.reading import check_files
from triptych.bundles.reading import read
from triptych.bundles.reading import read_about
from triptych.utils import extras
from triptych.utils import files
from triptych.utils import formatting
from triptych.utils import storage
from triptych.utils.formatting import MB

REPO = re.compile(r"hf://(?:models/)?([\w.-]+/[\w.-]+)(?:@([\w.-]+|refs/pr/\d+))?", re.ASCII)
# Such as hf://datasets/user/photos: folders of files, which `storage` reads.
OTHER_KINDS = ("buckets/", "datasets/", "kernels/", "spaces/")
COMMIT = re.compile(r"[0-9a-f]{40}")
BRANCH = "main"
MAX_ABOUT_BYTES = 64 * MB
PARALLEL_DOWNLOADS = 4


@dataclass(frozen=True)
class Repo:
    """A repository of the Hub, perhaps at a revision.

    Args:
        name: Of the repository, as ``user/name``.
        revision: A branch, a tag or a commit; empty for the main branch.
    """

    name: str
    revision: str = ""

    def __str__(self) -> str:
        return f"hf://{self.name}" + (f"@{self.revision}" if self.revision else "")


def is_repo(url: str) -> bool:
    """Whether a URL is that of a repository of the Hub, and not of a file in one.

    Example:
        >>> is_repo("hf://ann/garden@v2"), is_repo("hf://ann/garden/garden-2.zip")
        (True, False)
    """
    return parse(url) is not None


def parse(url: str) -> Repo | None:
    """The repository that a URL names; ``None`` if it names something else.

    Example:
        >>> parse("hf://ann/garden@v2")
        Repo(name='ann/garden', revision='v2')
    """
    matched = REPO.fullmatch(url)
    if not matched or matched[1].startswith(OTHER_KINDS):
        return None
    return Repo(matched[1], matched[2] or "")


def folder_name(url: str) -> str:
    """The name of the folder for what is downloaded from a URL with a commit.

    Example:
        >>> folder_name("hf://ann/garden@" + 40 * "a")[:25]
        'hub--ann--garden--aaaaaaa'
    """
    repo = _parsed(url)
    return f"hub--{repo.name.replace('/', '--')}--{repo.revision}"


def with_commit(url: str) -> str:
    """The URL with the commit that its revision is at now, so that it never means another one.

    Args:
        url: As ``hf://user/name`` or ``hf://user/name@revision``. With a full commit, the network
            is not used.

    Raises:
        errors.SettingError: It is no such URL, or huggingface-hub is not installed.
        errors.SourceError: There is no such repository or revision, or it cannot be read.
    """
    repo = _parsed(url)
    if COMMIT.fullmatch(repo.revision):
        return str(repo)
    api = _api()
    with _in_words(repo, "read"):
        return str(Repo(repo.name, api.model_info(repo.name, revision=repo.revision or None).sha))


def fetch(url: str, folder: Path, scratch: Path) -> Bundle:
    """Download the bundle in a repository, and check each file against its hash.

    ``bundle.json`` is checked against the hash that the Hub has of it in this commit, the others
    against those in ``bundle.json``. Other files of the repository are not downloaded.

    Args:
        url: With a commit, as `with_commit` returns it.
        folder: An empty folder for its files.
        scratch: Another on the same disk, for the Hub's client.

    Raises:
        errors.SourceError: It cannot be read.
        errors.BundleError: It is no bundle, damaged, or too large.
    """
    repo, api = _parsed(url), _api()

    def download(name: str) -> None:
        with _in_words(repo, "fetched"):
            path = api.hf_hub_download(repo.name, name, revision=repo.revision, local_dir=scratch)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, folder / name)

    sizes, hashes = _listed(api, repo, [ABOUT])
    if ABOUT not in sizes:
        raise errors.BundleError(
            f"There is no bundle: the repository has no {ABOUT}. Expected one that `triptych "
            "bundles push` wrote."
        )
    _check_sizes(sizes, folder, most=MAX_ABOUT_BYTES)
    download(ABOUT)
    if hashes[ABOUT] != _hub_hash(folder / ABOUT, hashes[ABOUT]):
        raise errors.SourceError(
            f"{ABOUT} of {repo} is not the file that the Hub lists. Nothing was kept; try again."
        )
    names = sorted(read_about(folder)["files"])
    sizes, _ = _listed(api, repo, names)
    if missing := [name for name in names if name not in sizes]:
        raise errors.BundleError(f"It is incomplete: {', '.join(missing)} missing.")
    _check_sizes(sizes, folder, most=archive.MAX_FILE_BYTES)
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        list(pool.map(download, names))
    bundle = read(folder)
    check_files(folder, bundle.about)
    return bundle


def push(bundle: Bundle, url: str, *, private: bool | None = None) -> str:
    """Write a bundle to a repository of the Hub, as one commit; it is created if need be.

    Files of the bundle that was there before are replaced; others stay as they are. The model card
    is checked by the Hub before anything is written.

    Args:
        bundle: The version.
        url: As ``hf://user/name``, or ``hf://user/name@branch`` for a branch that is there.
        private: Whether only people with access can read it; by default a new repository is as the
            Hub makes them.

    Returns:
        The URL with the new commit.

    Raises:
        errors.SettingError: It is no such URL, or huggingface-hub is not installed.
        errors.SourceError: The repository cannot be written, has something else in it, or can be
            read by everybody although it is to be private.
        errors.BundleError: A file of the bundle is damaged, or the Hub refuses its card.
    """
    repo, api = _parsed(url), _api()
    if COMMIT.fullmatch(repo.revision):
        raise errors.SettingError(f"{url} names a commit, which is written already; name a branch.")
    import huggingface_hub

    branch = repo.revision or BRANCH
    with archive.contents(bundle, address=f"hf://{repo.name}") as packed:
        _check_card(repo, packed[card_text.README])
        with _in_words(repo, "written"):
            api.create_repo(repo.name, private=private, exist_ok=True)
            head = api.model_info(repo.name, revision=branch)
            if private and not head.private:
                raise errors.SourceError(
                    f"{repo} can be read by everybody, and --private was given. Nothing was "
                    "written; make it private in its settings, or name a new repository."
                )
            former = _former_files(api, Repo(repo.name, head.sha))
            changes = [
                *(huggingface_hub.CommitOperationAdd(name, path) for name, path in packed.items()),
                *map(huggingface_hub.CommitOperationDelete, sorted(former - packed.keys())),
            ]
            commit = api.create_commit(
                repo.name,
                changes,
                commit_message=f"{bundle.name}, version {bundle.version}",
                revision=branch,
                # Otherwise a commit that somebody else makes meanwhile would be overwritten.
                parent_commit=head.sha,
            )
    return str(Repo(repo.name, commit.oid))


def _parsed(url: str) -> Repo:
    repo = parse(url)
    if repo is None:
        raise errors.SettingError(
            f"{storage.redact(url)!r} is no repository of the Hugging Face Hub; expected "
            "hf://user/name, or hf://user/name@revision with a branch, a tag or a commit."
        )
    return repo


def _api() -> Any:
    extras.require("A bundle on the Hugging Face Hub", "huggingface_hub", extra="hub")
    import huggingface_hub

    return huggingface_hub.HfApi(library_name="triptych")


def _listed(api: Any, repo: Repo, names: list[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Sizes and hashes of those files that the repository has."""
    from huggingface_hub.hf_api import RepoFile

    with _in_words(repo, "read"):
        rows = api.get_paths_info(repo.name, names, revision=repo.revision)
    found = {row.path: row for row in rows if isinstance(row, RepoFile) and row.path in names}
    sizes = {name: row.lfs.size if row.lfs else row.size for name, row in found.items()}
    return sizes, {name: row.lfs.sha256 if row.lfs else row.blob_id for name, row in found.items()}


def _hub_hash(path: Path, listed: str) -> str:
    """The hash of a file as the Hub has it: that of Git, or SHA-256 if the file is large."""
    from huggingface_hub.utils import sha

    is_git = COMMIT.fullmatch(listed)
    return str(sha.git_hash(path.read_bytes())) if is_git else files.digest(path)


def _check_sizes(sizes: dict[str, int], folder: Path, *, most: int) -> None:
    """Refuse what would fill the disk, before it is downloaded."""
    free = shutil.disk_usage(folder).free - storage.KEPT_FREE_BYTES
    if len(sizes) > archive.MAX_FILES:
        reason = f"it has {len(sizes):,} files, and no bundle has more than {archive.MAX_FILES:,}"
    elif large := [name for name, size in sizes.items() if size > most]:
        reason = f"{large[0]!r} is too large"
    elif sum(sizes.values()) > free:
        reason = f"it has {formatting.size(sum(sizes.values()))}, and the disk has no room for it"
    else:
        return
    raise errors.BundleError(f"It is refused: {reason}.")


def _check_card(repo: Repo, path: Path) -> None:
    """Let the Hub check a model card, by its own rules."""
    import huggingface_hub

    with _in_words(repo, "written"):
        try:
            huggingface_hub.ModelCard.load(path).validate()
        except ValueError as error:
            reason = str(error)
            with contextlib.suppress(ValueError, TypeError, KeyError):
                reason = "; ".join(row["message"] for row in json.loads(reason)["errors"])
            raise errors.BundleError(
                f"The Hub refuses the model card: {_line(reason)}. Nothing was "
                "written; correct its texts under Publish in the studio, and push again."
            ) from error


def _former_files(api: Any, repo: Repo) -> set[str]:
    """The files of the bundle in a repository; refuse one that has something else in it."""
    names = set(api.list_repo_files(repo.name, revision=repo.revision))
    if ABOUT in names:
        with (
            tempfile.TemporaryDirectory(prefix="triptych-") as scratch,
            contextlib.suppress(errors.BundleError),
        ):
            api.hf_hub_download(repo.name, ABOUT, revision=repo.revision, local_dir=scratch)
            return names & set(read_about(Path(scratch))["files"])
    if others := names - {".gitattributes", card_text.README}:
        raise errors.SourceError(
            f"hf://{repo.name} has something else in it, such as {min(others)}; expected an empty "
            "repository, or one with a bundle. Nothing was written; name another."
        )
    return set()


@contextlib.contextmanager
def _in_words(repo: Repo, done: str) -> Iterator[None]:
    """Raise a `SourceError` for whatever the Hub's client raises."""
    try:
        yield
    except errors.TriptychError:
        raise
    except Exception as error:
        raise errors.SourceError(f"{repo} cannot be {done}: {_reason(repo, error)}") from error


def _reason(repo: Repo, error: BaseException) -> str:
    """What an error of the Hub's client means, and how to mend it."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub import errors as hub

    # Of httpx or httpx2, as the client's version has it; not among the names that it types.
    http_error: type[Exception] = vars(hub)["HTTPError"]

    while isinstance(error, hub.LocalEntryNotFoundError | RuntimeError) and error.__cause__:
        error = error.__cause__  # these only say which file it was, or that no cache has it either
    endpoint = constants.ENDPOINT
    how = "`hf auth login`, or the variable HF_TOKEN"
    token = "the token" if huggingface_hub.get_token() else "without a token, one"
    if isinstance(error, hub.GatedRepoError):
        return f"its authors grant access. Request it at {endpoint}/{repo.name}, and log in: {how}."
    if isinstance(error, hub.RepositoryNotFoundError):
        return (
            f"there is no such repository at {endpoint}, or it is private and {token} may not "
            f"read it. Check the name, or log in: {how}."
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return f"it has no revision {repo.revision!r}; expected a branch, a tag or a commit."
    if isinstance(error, hub.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and this commit was not downloaded before. Unset it."
    if isinstance(error, hub.HfHubHTTPError):
        status, said = error.response.status_code, _line(error.server_message or "")
        if status in (401, 403):
            return f"{token} may not do that ({said or status}). Log in with one that may: {how}."
        if status in (409, 412):
            return f"somebody else wrote to it meanwhile ({said or status}). Try again."
        return f"{endpoint} answers {status} ({said or 'without a reason'}). Try again later."
    if isinstance(error, http_error):
        return (
            f"{endpoint} cannot be reached ({error or type(error).__name__}). Check the network, "
            "and HF_ENDPOINT if it is set."
        )
    # An address may be signed.
    return _line(re.sub(r"\?\S*", "", str(error))) or type(error).__name__


def _line(text: str) -> str:
    return formatting.plain_text(" ".join(text.split()))
