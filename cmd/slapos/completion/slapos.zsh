#compdef @NAME@
# Completion of @NAME@ for zsh: eval "$(slapos complete --shell zsh)", or a file
# _@FUNCTION@ in a directory of $fpath.
_@FUNCTION@()
{
  local -a known found meanings
  local variable=cmds word line
@TABLE@
  known=(${=cmds})
  for word in "${(@)words[2,CURRENT-1]}"
  do
    if [[ $known[1] == -* ]]
    then
      break # a command: its options, or values
    fi
    if (( $known[(Ie)$word] ))
    then
      variable="${variable}_${word//-/_}"
      known=(${=${(P)variable}})
    fi
  done
  if [[ $known[1] != -* || $PREFIX == -* ]]
  then
    compadd -- $known
    return
  fi
  for line in "${(@f)$(command @NAME@ complete --values -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"
  do
    if [[ -n $line ]]
    then
      found+=("${line%%$'\t'*}")
      meanings+=("${line/$'\t'/  -- }")
    fi
  done
  if (( $#found ))
  then
    compadd -l -d meanings -a found
  else
    _files
  fi
}
if [[ $funcstack[1] == _@FUNCTION@ ]]
then
  _@FUNCTION@ "$@"
else
  compdef _@FUNCTION@ @NAME@
fi
