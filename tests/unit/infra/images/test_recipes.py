"""Recipes: complete for every role and family, with shell that a shell can read, and no name said twice differently."""

import subprocess

import pytest

from chalicelib.contract.resources import Shell
from chalicelib.domain import catalogue
from chalicelib.domain.catalogue import BAREBONE as CATALOGUES
from chalicelib.edge.payloads import THEMES as OFFERED
from infra.images.__main__ import FOLDER
from infra.images.families import families
from infra.images.pages import IMAGES, measured, pages
from infra.images.recipes import BAREBONE, THEMES, Recipe, adding_user, recipe_of, roles, settings_text

FAMILIES = sorted(families())
ALL = [(role, family) for role in sorted(roles()) for family in FAMILIES]


def recipe(role: str, *, enhanced: bool = True) -> Recipe:
    found = recipe_of(role, enhanced=enhanced)
    assert found is not None
    return found


def test_every_role_of_the_catalogue_has_a_recipe_with_the_tools_it_names() -> None:
    assert {*roles(), BAREBONE} == set(catalogue.roles())
    for role in roles().values():
        assert set(catalogue.roles()[role.id].packages) <= {tool.name for tool in role.tools}, role.id
    assert (CATALOGUES, tuple(OFFERED)) == (BAREBONE, THEMES)


def test_the_pages_are_those_of_the_catalogues_images_and_name_every_version_that_was_measured() -> None:
    made = pages()

    assert {image.family: image.name for image in catalogue.images().images} == IMAGES
    assert all(f"]({name})" in made["index.md"] for name in made if name != "index.md")
    for role, versions in measured().items():
        page = made[f"{role}.md" if role else "image-debian.md"]
        assert all(version in page for version in versions.values()), role
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == made


@pytest.mark.parametrize(("role", "family"), ALL)
def test_every_tool_is_installed_on_every_family(role: str, family: str) -> None:
    for tool in roles()[role].tools:
        install = tool.install_on(family)

        assert install.packages or install.commands, tool.name
        assert install.download is None or install.download in roles()[role].downloads
        if install.source == "distribution":
            assert install.packages
            assert install.download is None
        elif install.download is not None:
            url = roles()[role].downloads[install.download].url
            assert (install.source == "npm") == url.startswith("https://registry.npmjs.org/")


@pytest.mark.parametrize("role", sorted(roles()))
def test_a_download_is_known_by_its_hash_and_comes_over_https(role: str) -> None:
    for name, download in roles()[role].downloads.items():
        assert download.url.startswith("https://"), name
        assert set(download.sha256) in ({"any"}, {"x86_64", "aarch64"})
        assert all(len(digest) == 64 and int(digest, 16) for digest in download.sha256.values())
        assert ("arch}" in download.url) == ("any" not in download.sha256)


@pytest.mark.parametrize(("role", "family"), [*ALL, *(("", family) for family in FAMILIES)])
@pytest.mark.parametrize("enhanced", [True, False])
def test_every_step_is_readable_shell(role: str, family: str, enhanced: bool) -> None:
    made = recipe_of(role, enhanced=enhanced)
    if made is None:
        return
    scripts = [step.script for step in made.steps(family)]

    for script in [*scripts, *([] if enhanced else [made.promises("lacks ")]), adding_user()]:
        checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr + script
    assert not any("{" + name + "}" in script for script in scripts for name in ("arch", "debian_arch", "name", "uid"))


def test_what_may_be_nowhere_is_fetched_before_the_long_work() -> None:
    names = [step.what for step in recipe("python").steps("debian")]

    assert names.index("pyenv") < names.index("python")
    assert names.count("pyenv") == 2


def test_what_is_promised_is_looked_for_by_name() -> None:
    promised = recipe("devops").promised()

    assert promised[-4:] == ["docker", "kubectl", "ansible", "terraform"]
    assert set(Shell.model_fields) - {"enhanced", "syntax_highlight"} <= {*promised, "syntax_highlight"}
    assert "command -v terraform" in recipe("devops").promises("lacks ")
    assert recipe("go", enhanced=False).promised() == ["go"]


def test_images_left_as_they_are_have_no_recipe() -> None:
    assert recipe_of("barebone", enhanced=True) is None
    assert recipe_of("barebone", enhanced=False) is None
    assert recipe_of("", enhanced=False) is None
    with pytest.raises(KeyError):
        recipe_of("unheard-of", enhanced=True)


def test_every_recipe_has_a_digest_of_its_own() -> None:
    digests = [recipe_of(role, enhanced=enhanced) for role in roles() for enhanced in (True, False)]

    assert len({made.digest for made in digests if made} | {recipe("").digest}) == 2 * len(roles()) + 1


def test_settings_are_what_the_shell_reads_and_nothing_it_could_obey() -> None:
    text = settings_text(Shell(theme="minimal", use_tmux=True).model_dump(exclude={"enhanced"}))

    assert "BERTH_THEME=minimal\n" in text
    assert "BERTH_USE_TMUX=1\n" in text
    assert "BERTH_SYSTEM_STATS=0\n" in text
    assert settings_text({"theme": "$(reboot)"}) == "BERTH_THEME=berth\n"
