/** The scripts that make a shell ask devstack for completions. */

/** The script that `devstack completion <shell>` prints. */
export function completionScript(shell: 'bash' | 'zsh' | 'fish'): string {
  return { bash, zsh, fish }[shell]
}

// The devstack of the project is preferred to one on PATH, since only it knows the project's version of the options.
const findProgram = `__devstack_program() {
  local directory=$PWD
  while [ -n "$directory" ]; do
    if [ -x "$directory/node_modules/.bin/devstack" ]; then
      printf '%s' "$directory/node_modules/.bin/devstack"
      return
    fi
    directory=\${directory%/*}
  done
  printf 'devstack'
}`

const bash = `# bash completion for devstack: source <(devstack completion bash)
${findProgram}

_devstack() {
  # bash splits words at : and =, which names of tasks and options hold; here they are put together again.
  local rest=\${COMP_LINE:0:COMP_POINT} trimmed word index
  local -a words=()
  for ((index = 0; index <= COMP_CWORD; index++)); do
    trimmed=\${rest#"\${rest%%[![:space:]]*}"}
    word=\${COMP_WORDS[index]}
    ((index == COMP_CWORD)) && word=$trimmed
    if ((index > 0)) && [[ $trimmed == "$rest" ]]; then
      words[\${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    rest=\${trimmed#"$word"}
  done
  local current=\${words[\${#words[@]}-1]}
  local paths= value prefix=
  COMPREPLY=()
  while IFS= read -r word; do
    if [[ -z $paths ]]; then
      paths=$word
      continue
    fi
    COMPREPLY+=("\${word%%$'\\t'*}")
  done < <("$(__devstack_program)" __complete -- "\${words[@]:1}" 2>/dev/null)
  # readline replaces only what follows the last : or =.
  [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && prefix=\${current%"\${current##*:}"}
  if [[ $COMP_WORDBREAKS == *=* && $current == *=* ]]; then
    value=\${current%"\${current##*=}"}
    ((\${#value} > \${#prefix})) && prefix=$value
  fi
  for index in "\${!COMPREPLY[@]}"; do
    value=\${COMPREPLY[index]#"$prefix"}
    printf -v value '%q' "$value"
    COMPREPLY[index]=$value
  done
  if [[ $paths == :file || $paths == :directory ]]; then
    local kind=-f
    [[ $paths == :directory ]] && kind=-d
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
      COMPREPLY+=("$word")
    done < <(compgen "$kind" -- "\${current#--*=}")
  fi
}

complete -F _devstack devstack
`

const zsh = `#compdef devstack
# zsh completion for devstack: source <(devstack completion zsh), after compinit
${findProgram}

_devstack() {
  local line paths value description
  local -a values descriptions
  while IFS= read -r line; do
    if [[ -z $paths ]]; then
      paths=$line
      continue
    fi
    value=\${line%%$'\\t'*}
    values+=("$value")
    if [[ $line == *$'\\t'* ]]; then
      descriptions+=("$value -- \${line#*$'\\t'}")
    else
      descriptions+=("$value")
    fi
  done < <("$(__devstack_program)" __complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  ((\${#values})) && compadd -l -d descriptions -a values
  if [[ $paths == :file || $paths == :directory ]]; then
    compset -P '--*='
    if [[ $paths == :directory ]]; then _files -/; else _files; fi
  fi
}

if [[ \${funcstack[1]} == _devstack ]]; then
  _devstack "$@"
else
  compdef _devstack devstack
fi
`

const fish = `# fish completion for devstack: devstack completion fish | source
function __devstack_program
    set -l directory $PWD
    while test -n "$directory"
        if test -x "$directory/node_modules/.bin/devstack"
            echo "$directory/node_modules/.bin/devstack"
            return
        end
        set directory (string replace -r '/[^/]*$' '' -- $directory)
    end
    echo devstack
end

function __devstack_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l program (__devstack_program)
    set -l answer ($program __complete -- $words[2..-1] 2>/dev/null)
    set -l paths $answer[1]
    printf '%s\\n' $answer[2..-1]
    # fish wants whole words, so what stands before the path goes before each candidate.
    set -l current (string replace -r '^--[^=]*=' '' -- (commandline -ct))
    set -l option (string match -r '^--[^=]*=' -- (commandline -ct))
    switch "$paths"
        case :file
            printf "$option%s\\n" (__fish_complete_path $current)
        case :directory
            printf "$option%s\\n" (__fish_complete_directories $current)
    end
end

complete -c devstack -f -a '(__devstack_complete)'
`
