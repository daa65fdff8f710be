# Blocks with arrows between them; the terminal needs a font that has them.
autoload -Uz vcs_info add-zsh-hook
zstyle ':vcs_info:git:*' formats '%K{magenta}%F{blue}%f %b %k%F{magenta}%f'
zstyle ':vcs_info:git:*' actionformats '%K{magenta}%F{blue}%f %b|%a %k%F{magenta}%f'
add-zsh-hook precmd vcs_info
PROMPT='%K{cyan}%F{black} %n@%m %F{cyan}%K{blue}%F{white} %~ %k${vcs_info_msg_0_:-%F{blue\}%f} '
RPROMPT='%(?..%F{red}✘ %?%f)'
BERTH_THEME_LOADED=powerline
