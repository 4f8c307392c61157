# Completion of @NAME@ for fish.

# What may stand at the cursor, with its meaning.
function __@FUNCTION@_values
  command @NAME@ complete --values -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
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

@TABLE@
