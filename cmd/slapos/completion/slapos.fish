# Completion of @NAME@ for fish.

# Titles of services with their software.
function __@FUNCTION@_services
  command @NAME@ service list 2>/dev/null | string match -r '^ *"(.*)": "(.*)",?$' | while read -l line
    read -l title; read -l software
    printf '%s\t%s\n' $title $software
  end
end

# Programs of this node with their states.
function __@FUNCTION@_programs
  printf 'all\tall programs\n'
  command @NAME@ node supervisorctl status 2>/dev/null | string replace -r '\s+' '\t'
end

# Supplied software by its MD5, as in the third column after the first.
function __@FUNCTION@_softwares
  command @NAME@ proxy show --software 2>/dev/null | tail -n +6 | awk '/available/ {print $4"\t"$1}'
end

function __@FUNCTION@_partitions
  command @NAME@ proxy show --partitions 2>/dev/null | tail -n +6 | awk '/busy/ {print $1"\t"$6" "$5" "$4}'
end

# __@FUNCTION@_at WORD...: the command typed so far is exactly these words.
function __@FUNCTION@_at
  set -l typed (string match -v -- "-*" (commandline -opc)[2..])
  test "$typed" = "$argv"
end

# __@FUNCTION@_in WORD...: the command typed so far begins with these words.
function __@FUNCTION@_in
  set -l typed (string match -v -- "-*" (commandline -opc)[2..])
  string match -q -- "$argv *" "$typed "
end

complete -c @NAME@ -f -n '__@FUNCTION@_in node software' -l only-sr -l only -x -a '(__@FUNCTION@_softwares)'
complete -c @NAME@ -f -n '__@FUNCTION@_in node instance' -l only-cp -l only -x -a '(__@FUNCTION@_partitions)'
complete -c @NAME@ -f -n '__@FUNCTION@_in node promise' -l only-cp -l only -x -a '(__@FUNCTION@_partitions)'
complete -c @NAME@ -f -n '__@FUNCTION@_in service info' -a '(__@FUNCTION@_services)'
complete -c @NAME@ -f -n '__@FUNCTION@_in request' -a '(__@FUNCTION@_services)'
for alias in start stop restart status tail
  complete -c @NAME@ -f -n "__@FUNCTION@_in node $alias" -a '(__@FUNCTION@_programs)'
end
@TABLE@
