# User and machine, folder, git branch; the mark turns red when the last command failed.
autoload -Uz vcs_info add-zsh-hook
zstyle ':vcs_info:git:*' formats ' %F{magenta}%b%f'
zstyle ':vcs_info:git:*' actionformats ' %F{magenta}%b|%a%f'
add-zsh-hook precmd vcs_info
PROMPT='%B%F{cyan}%n@%m%f%b %F{blue}%~%f${vcs_info_msg_0_} %(?.%F{green}.%F{red})%(!.#.❯)%f '
RPROMPT='%(?..%F{red}%?%f)'
BERTH_THEME_LOADED=berth
