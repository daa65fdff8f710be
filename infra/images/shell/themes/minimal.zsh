# The folder and a mark, nothing else.
PROMPT='%1~ %(!.#.%%) '
RPROMPT=
BERTH_THEME_LOADED=minimal
