# Completion of @NAME@ for bash, and for zsh by way of bashcompinit.
_@FUNCTION@()
{
@TABLE@
  local cur="${COMP_WORDS[COMP_CWORD]}" path= word variable known
  COMPREPLY=()
  known="$cmds"
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"
  do
    case " $known " in
      (" -"*) break ;; # a command: its options, or files
      (*" $word "*)
        path="${path}_${word//-/_}"
        variable="cmds$path"
        known="${!variable}" ;;
    esac
  done
  if [[ $known != -* || $cur == -* ]]
  then
    COMPREPLY=( $(compgen -W "$known" -- "$cur") )
  fi
}
complete -o default -F _@FUNCTION@ @NAME@
