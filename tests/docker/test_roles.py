"""Roles and the shell on a real engine: images prepared from the distribution's packages, PyPI and npm, and used.

What only the internet has is left out of the roles here, counted, and told at the end; the whole role then has to fail
with the name of what lacks.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.causes import Code
from chalicelib.contract.resources import NetworkMode, Resources, Shell
from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM, TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_images import DockerImages
from infra.hostagent.images.building import VERSIONS, Building, BuildPlace, reference_of
from infra.hostagent.images.sources import Sources
from infra.images.recipes import Recipe, recipe_of, roles
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, inspected
from tests.inside import run_in

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PATIENCE_SECONDS = 900
AS_USER = {"HOME": "/home/user", "TERM": "xterm-256color"}


def sources() -> Sources:
    """Builds trust whom this machine trusts: its connections may be looked into on their way."""
    return Sources(ca_bundle=CERTIFICATES if CERTIFICATES.exists() else None)


@pytest.fixture(scope="module")
def host(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that prepares images."""
    data = tmp_path_factory.mktemp("roles")
    (data / "sources.json").write_text(sources().model_dump_json())
    with agent_on(engine, queues, data, "--sources", str(data / "sources.json")) as running:
        yield running


def created(host: RunningAgent, kind: str = "ready", **wanted: Any) -> tuple[str, list[Any]]:
    """A container's id and its events up to one of this kind; a first image takes its time."""
    spec = a_spec(**({"image": BOOKWORM, "create_seconds": float(PATIENCE_SECONDS)} | wanted))
    assert host.create(spec).status_code == 202
    return spec.container_id, host.until(spec.container_id, kind, PATIENCE_SECONDS)


def logged_in(host: RunningAgent, container_id: str, command: str, shell: str = "zsh") -> str:
    """What a person gets to see who logs in and types this."""
    [container] = host.containers(container_id)
    environment = AS_USER | {"BERTH_NO_TMUX": "1"}
    login = [shell, "-lic", command]
    return run_in(container.client.api, container.id, login, "user", environment, tty=True).output.decode()


def built(engine: Engine, recipe: Recipe) -> dict[str, str]:
    """The versions in the image of this recipe, built unless it is there."""
    store = DockerImages(engine.url)
    docker = DockerEngine(engine.url)
    docker.ensure_network("berth-builder", "berthbuilder")
    place = BuildPlace("builder", "berth-builder", 2)
    reference = reference_of(str(store.layers(BOOKWORM)), recipe)
    if store.layers(reference) is None:
        Building(docker, store, place, sources()).build(BOOKWORM, reference, recipe, lambda *_: None, lambda: None)
    assert store.containers_named(place.prefix) == []
    docker.drop_network("berth-builder")
    return versions_of(store, reference)


def versions_of(store: DockerImages, reference: str) -> dict[str, str]:
    return dict(json.loads(store.labels(reference)[VERSIONS]))


@pytest.fixture(scope="module")
def enhanced(host: RunningAgent) -> tuple[str, list[Any]]:
    """A container as most people ask for it: no role, the shell with all that is on by default."""
    return created(host, shell=Shell())


def test_the_first_container_is_told_how_its_image_is_prepared(host: RunningAgent, engine: Engine) -> None:
    with contextlib.closing(engine.client()) as client:
        store = DockerImages(engine.url)
        recipe = recipe_of("", enhanced=True)
        assert recipe is not None
        with contextlib.suppress(Exception):
            client.images.remove(reference_of(str(store.layers(BOOKWORM)), recipe), force=True)

    _, events = created(host, shell=Shell())

    told = [(event.progress, event.message) for event in events if event.kind == "progress"]
    assert [percent for percent, _ in told] == sorted(percent for percent, _ in told)
    assert [message for _, message in told if message.startswith("preparing the shell: zsh, its plugins")]
    assert all(15 <= percent <= 60 for percent, message in told if message.startswith("preparing"))


def test_people_log_in_as_themselves_in_zsh(host: RunningAgent, enhanced: tuple[str, list[Any]]) -> None:
    container_id, _ = enhanced

    assert logged_in(host, container_id, "echo $USERNAME $HOME $UID $ZSH_NAME").split() == [
        "user",
        "/home/user",
        "1000",
        "zsh",
    ]
    assert logged_in(host, container_id, "touch ~/mine && ls ~/mine").strip() == "/home/user/mine"
    assert "Permission denied" in logged_in(host, container_id, "touch /etc/theirs")
    assert host.inside(container_id, "id -u; grep NoNewPrivs /proc/self/status").split() == ["0", "NoNewPrivs:", "1"]
    assert host.inside(container_id, "grep -c zsh /etc/passwd").strip() == "2"
    assert inspected(host, container_id)["Config"]["User"] == "0"
    assert inspected(host, container_id)["Config"]["Image"].startswith("berth/role:")
    assert "no-new-privileges:true" in inspected(host, container_id)["HostConfig"]["SecurityOpt"]


def test_the_image_is_prepared_once(host: RunningAgent, enhanced: tuple[str, list[Any]]) -> None:
    _, events = created(host, shell=Shell(theme="minimal"))

    assert [event.progress for event in events if event.kind == "progress"] == [60, 65, 75, 90]


STATE = (
    "echo theme $BERTH_THEME_LOADED; echo suggest $+functions[_zsh_autosuggest_start];"
    "echo highlight $+functions[_zsh_highlight]; echo alias $+aliases[gst]; echo stats $+functions[stats];"
    "echo search $([[ $(bindkey '^[[A') == *beginning-search ]]; echo $?)"
)


def test_what_is_on_is_there_and_what_is_off_is_not(host: RunningAgent, enhanced: tuple[str, list[Any]]) -> None:
    everything, _ = created(host, shell=Shell(theme="powerline", system_stats=True, use_tmux=True))
    nothing, _ = created(
        host,
        shell=Shell(
            theme="minimal", autosuggestions=False, syntax_highlight=False, history_search=False, git_aliases=False
        ),
    )

    assert "memory" in logged_in(host, everything, "true")
    on = logged_in(host, everything, STATE)
    off = logged_in(host, nothing, STATE)
    usual = logged_in(host, enhanced[0], STATE)

    def values(text: str) -> list[str]:
        return [
            line.split()[1]
            for line in text.splitlines()
            if line.split()[0] in ("theme", "suggest", "highlight", "alias", "stats", "search")
        ]

    assert values(usual) == ["berth", "1", "1", "1", "0", "0"]
    assert values(on) == ["powerline", "1", "1", "1", "1", "0"]
    assert values(off) == ["minimal", "0", "0", "0", "0", "1"]


def test_whoever_wants_tmux_is_in_it(host: RunningAgent) -> None:
    container_id, _ = created(host, shell=Shell(use_tmux=True))
    [container] = host.containers(container_id)

    socket = container.exec_run(
        ["zsh", "-l"], user="user", environment=AS_USER, tty=True, stdin=True, socket=True
    ).output
    try:
        seen = host.wait(lambda: "main" in host.inside(container_id, "tmux ls", user="user"))
    finally:
        socket.close()

    assert seen


def test_barebone_and_no_shell_have_the_images_own_and_the_user(host: RunningAgent) -> None:
    for wanted in ({"role": "barebone", "shell": Shell()}, {"shell": Shell(enhanced=False)}):
        container_id, events = created(host, **wanted)

        assert [event.progress for event in events if event.kind == "progress"] == [60, 65, 75, 90]
        assert not inspected(host, container_id)["Config"]["Image"].startswith("berth/role:")
        assert host.inside(container_id, "command -v zsh git curl; ls -d /etc/berth").startswith("ls: ")
        assert logged_in(host, container_id, "id -un; pwd; cd; pwd", "bash").split() == ["user", "/", "/home/user"]


def test_an_image_of_an_unknown_distribution_keeps_its_own_shell_and_says_so(host: RunningAgent) -> None:
    container_id, events = created(host, image=TINY, shell=Shell())

    messages = [event.message for event in events if event.kind == "progress"]
    assert "no shell of ours for this image's distribution: it keeps its own" in messages
    assert not inspected(host, container_id)["Config"]["Image"].startswith("berth/role:")
    assert host.inside(container_id, "id -un", user="user").strip() == "user"


def test_a_role_on_an_unknown_distribution_is_refused(host: RunningAgent) -> None:
    _, events = created(host, "failed", image=TINY, role="go")

    assert events[-1].cause.code is Code.ROLE_FAILED
    assert events[-1].cause.message.startswith("the role go could not be prepared: the image's distribution is none of")


def test_a_role_is_prepared_and_its_tools_work_for_people(host: RunningAgent) -> None:
    container_id, _ = created(
        host, role="go", shell=Shell(), resources=Resources(memory_mb=1024, cpu_shares=2000, disk_mb=2048)
    )

    program = 'package main\nimport "fmt"\nfunc main() { fmt.Println("it", "works") }\n'
    command = f"mkdir -p ~/go/try && cd ~/go/try && printf '%s' '{program}' > main.go && GO111MODULE=off go run ."
    assert logged_in(host, container_id, command).strip() == "it works"


def test_a_role_needs_no_network_of_its_container(host: RunningAgent) -> None:
    container_id, _ = created(host, role="go", shell=Shell(), network_mode=NetworkMode.NONE)

    assert "go version" in logged_in(host, container_id, "go version")


def test_a_role_of_which_a_tool_is_nowhere_to_be_had_fails_with_its_name_and_leaves_nothing(host: RunningAgent) -> None:
    """Where the internet is, the role is ready instead."""
    spec = a_spec(image=BOOKWORM, role="node", create_seconds=float(PATIENCE_SECONDS))
    host.create(spec)

    ended = host.wait(
        lambda: [e for e in host.about(spec.container_id) if e.kind in ("ready", "failed")], PATIENCE_SECONDS
    )[0]

    if ended.kind == "failed":
        assert ended.cause.code is Code.ROLE_FAILED
        assert ended.cause.message == "the role node could not be prepared: nvm could not be installed"
        assert host.containers(spec.container_id) == []
    assert DockerImages(host.engine.url).containers_named("berth-build-") == []


def reachable(role: str) -> tuple[Recipe, list[str]]:
    """The role without what only the internet has on Debian, and the names of that."""
    recipe = recipe_of(role, enhanced=False)
    assert recipe is not None
    assert recipe.role is not None
    away = [tool.name for tool in recipe.role.tools if tool.install_on("debian").source == "internet"]
    kept = [tool for tool in recipe.role.tools if tool.name not in away]
    return replace(recipe, role=recipe.role.model_copy(update={"tools": kept})), away


@pytest.mark.parametrize("role", sorted(set(roles()) - {"go"}))
def test_all_of_a_role_that_can_be_had_here_is_installed_and_says_its_version(engine: Engine, role: str) -> None:
    recipe, away = reachable(role)

    versions = built(engine, recipe)

    assert list(versions) == [tool.name for tool in recipe.tools()]
    assert all(versions.values())
    sys.stderr.write(f"==> role {role}: {json.dumps(versions)}; not to be had here: {', '.join(away) or 'nothing'}\n")
