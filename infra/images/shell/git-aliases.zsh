# Short words for git.
alias g=git
alias ga='git add' gaa='git add --all'
alias gb='git branch' gco='git checkout' gsw='git switch'
alias gc='git commit --verbose' gcm='git commit --message' gca='git commit --amend'
alias gd='git diff' gds='git diff --staged'
alias gf='git fetch' gl='git pull' gp='git push'
alias glog='git log --oneline --graph --decorate'
alias gst='git status' gss='git status --short'
alias gsta='git stash push' gstp='git stash pop'
