# Up and down go through what began like the line typed so far; Control-R searches all of it.
autoload -Uz up-line-or-beginning-search down-line-or-beginning-search
zle -N up-line-or-beginning-search
zle -N down-line-or-beginning-search
for key in '^[[A' '^[OA'; do bindkey $key up-line-or-beginning-search; done
for key in '^[[B' '^[OB'; do bindkey $key down-line-or-beginning-search; done
bindkey '^R' history-incremental-search-backward
unset key
