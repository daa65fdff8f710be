# Run by the host in a login shell of the user before a container is told ready: whatever is on works, or it is named.
lacks() { print -r -- "${BERTH_LACKS:-lacks }$1"; exit 1 }

[[ $(id -un) == user && $(id -u) == 1000 && $HOME == /home/user && -O $HOME && -w $HOME ]] || lacks 'the user'
[[ -n $BERTH_THEME && $BERTH_THEME_LOADED == $BERTH_THEME ]] || lacks theme
[[ $BERTH_AUTOSUGGESTIONS != 1 ]] || (( $+functions[_zsh_autosuggest_start] )) || lacks autosuggestions
[[ $BERTH_SYNTAX_HIGHLIGHT != 1 ]] || (( $+functions[_zsh_highlight] )) || lacks syntax_highlight
[[ $BERTH_HISTORY_SEARCH != 1 || $(bindkey '^[[A') == *up-line-or-beginning-search ]] || lacks history_search
[[ $BERTH_GIT_ALIASES != 1 ]] || { git --version >/dev/null && (( $+aliases[gst] )) } || lacks git_aliases
[[ $BERTH_SYSTEM_STATS != 1 ]] || stats >/dev/null || lacks system_stats
[[ $BERTH_USE_TMUX != 1 ]] || tmux -L berth-check new-session -d true || lacks use_tmux
