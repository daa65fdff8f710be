"""The people's way in: a container that runs comes in; its ordinary user can log in there, or it is said what lacks.

In an image that was prepared, a login shell of the user looks for everything that the recipe promises. Any other image
gets the user and keeps its own shell.
"""

from typing import TypedDict

from infra.hostagent.failures import NotPrepared
from infra.hostagent.ports import Engine, EngineRefused
from infra.images.recipes import Recipe, adding_user, recipe_of

REPOSITORY = "berth/role"
"""Where images that were prepared here are named."""

PERSON = "user"
HOME = "/home/user"
LOGIN_SECONDS = 30.0

_NO_SHELL = (126, 127)
_LACKS = "berth lacks "


class AsPerson(TypedDict):
    """Who runs a command, for the engine."""

    user: str
    environment: dict[str, str]


def as_person() -> AsPerson:
    """As the ordinary user with a terminal; without the wish for tmux, which would take the command's place."""
    environment = {"HOME": HOME, "USER": PERSON, "LOGNAME": PERSON, "TERM": "xterm-256color", "BERTH_NO_TMUX": "1"}
    return {"user": PERSON, "environment": environment}


def login_command(recipe: Recipe, script: str) -> list[str]:
    """Runs this in a login shell of the kind that the recipe gives people."""
    return ["zsh", "-lic", script] if recipe.enhanced else ["sh", "-lc", script]


def prepared(image: str | None) -> bool:
    """Whether an image was prepared here."""
    return image is not None and image.startswith(f"{REPOSITORY}:")


def let_in(engine: Engine, engine_id: str, role: str, *, enhanced: bool, prepared: bool) -> None:
    """Have the user able to log in. NotPrepared, EngineRefused, or EngineDown."""
    recipe = recipe_of(role, enhanced=enhanced) if prepared else None
    if recipe is None:
        _add_user(engine, engine_id)
    else:
        look(engine, engine_id, recipe)


def _add_user(engine: Engine, engine_id: str) -> None:
    """An image that has no shell at all has root and nobody else."""
    ran = engine.run(engine_id, ["sh", "-euc", adding_user()], "0", {}, LOGIN_SECONDS)
    if ran.exit_code and not (ran.exit_code in _NO_SHELL and engine.answers(engine_id)):
        raise EngineRefused("no process can be started inside")


def look(engine: Engine, engine_id: str, recipe: Recipe) -> None:
    """Have a login shell of the user look for all that the recipe promises. NotPrepared names the first that lacks."""
    command = login_command(recipe, recipe.promises(_LACKS))
    ran = engine.run(engine_id, command, **as_person(), seconds=LOGIN_SECONDS)
    if ran.exit_code:
        said = ran.output.rpartition(_LACKS)[2].strip()
        raise NotPrepared(recipe.title, said if said in recipe.promised() else "the login shell")
