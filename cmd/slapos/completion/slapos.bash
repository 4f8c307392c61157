# Completion of @NAME@ for bash, and for zsh by way of bashcompinit.
_@FUNCTION@()
{
@TABLE@
  local cur="${COMP_WORDS[COMP_CWORD]}" path= word variable known words=()
  COMPREPLY=()
  if type -t _get_comp_words_by_ref >/dev/null
  then
    _get_comp_words_by_ref -n : cur words
  else
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]] || words+=("")
    cur="${words[${#words[@]}-1]}"
  fi
  known="$cmds"
  for word in "${words[@]:1:${#words[@]}-2}"
  do
    case " $known " in
      (" -"*) break ;; # a command: its options, or values
      (*" $word "*)
        path="${path}_${word//-/_}"
        variable="cmds$path"
        known="${!variable}" ;;
    esac
  done
  if [[ $known != -* || $cur == -* ]]
  then
    COMPREPLY=( $(compgen -W "$known" -- "$cur") )
    return
  fi
  while IFS=$'\t' read -r word _
  do
    [[ $word != "$cur"* ]] || COMPREPLY+=("$(printf %q "$word")")
  done < <(command @NAME@ complete --values -- "${words[@]:1}" 2>/dev/null)
  # To bash a colon begins a new word: what stands before it is there already.
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]
  then
    COMPREPLY=( "${COMPREPLY[@]#"${cur%"${cur##*:}"}"}" )
  fi
}
complete -o default -F _@FUNCTION@ @NAME@
