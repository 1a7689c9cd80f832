package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what a shell needs to complete weir's command lines. It is made of the
// commands and flags of this build.
type completionCommand struct {
	Shell string `arg:"" name:"SHELL" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is the long description in --help.
func (completionCommand) Help() string {
	return `The script completes commands, flags, and the values of flags that have a list of them; file names elsewhere. It asks
no node, and is to be made again for another version of weir.`
}

func (completionCommand) manual() manual {
	return manual{examples: `source <(weir completion bash)        # in .bashrc
source <(weir completion zsh)         # in .zshrc, after compinit
weir completion fish | source         # in config.fish`}
}

// Run prints the script.
func (c *completionCommand) Run(line *kong.Context, con console) error {
	places := placesOf(line.Model.Node, "")
	var b strings.Builder
	switch c.Shell {
	case "bash":
		completeBash(&b, places)
	case "zsh":
		completeZsh(&b, places)
	case "fish":
		completeFish(&b, places)
	}
	_, err := io.WriteString(con.out, b.String())
	return err
}

// place is where a command line has come to, and what can follow.
type place struct {
	path     string // "/policy/check", "" for weir alone
	commands []offer
	flags    []offer
	values   []string // of what is not a flag
	files    bool     // something else may stand there, as a file's name
}

// offer is a word with a description.
type offer struct {
	word, about string
	takes       bool     // a value has to follow
	values      []string // all that are possible; none: anything
}

// placesOf returns the place of a command and of those below it.
func placesOf(node *kong.Node, path string) (all []place) {
	here := place{path: path}
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			here.flags = append(here.flags, offer{"--" + flag.Name, firstSentence(flag.Help), !flag.IsBool(), valuesOf(flag.Value)})
		}
	}
	for _, argument := range node.Positional {
		values := valuesOf(argument)
		here.values = append(here.values, values...)
		here.files = here.files || len(values) == 0
	}
	for _, child := range node.Children {
		if child.Hidden || child.Type != kong.CommandNode {
			continue
		}
		here.commands = append(here.commands, offer{word: child.Name, about: firstSentence(child.Help)})
		all = append(all, placesOf(child, path+"/"+child.Name)...)
	}
	return append([]place{here}, all...)
}

func valuesOf(value *kong.Value) []string {
	if value.Enum == "" {
		return nil
	}
	return value.EnumSlice()
}

func firstSentence(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	first, _, _ = strings.Cut(first, "; ")
	return strings.TrimSuffix(strings.Join(strings.Fields(first), " "), ".")
}

// words of what can stand here besides flags; the flags where nothing else can.
func (p *place) words() []string {
	words := slices.Clone(p.values)
	for _, c := range p.commands {
		words = append(words, c.word)
	}
	if len(words) == 0 && !p.files {
		return p.flagWords()
	}
	return words
}

func (p *place) flagWords() (words []string) {
	for _, f := range p.flags {
		words = append(words, f.word)
	}
	return words
}

// paths are all places but the first, as alternatives of a pattern.
func paths(places []place) string {
	var all []string
	for _, p := range places[1:] {
		all = append(all, p.path)
	}
	return strings.Join(all, "|")
}

// eachValued calls do for each flag that takes a value, at each place.
func eachValued(places []place, do func(p *place, flag offer)) {
	for i := range places {
		for _, f := range places[i].flags {
			if f.takes {
				do(&places[i], f)
			}
		}
	}
}

func completeBash(b *strings.Builder, places []place) {
	fmt.Fprintf(b, `# Completion of weir for bash. To load it: source <(weir completion bash)
_weir() {
    local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD - 1]} place= words= flags= i
    if [[ $cur == = ]]; then # --flag=value is three words
        cur=
    elif [[ $flag == = ]]; then
        flag=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$place/${COMP_WORDS[i]}" in
        %s) place+=/${COMP_WORDS[i]} ;;
        esac
    done
    COMPREPLY=()
    case "$place $flag" in
`, paths(places))
	eachValued(places, func(p *place, f offer) {
		fmt.Fprintf(b, "    '%s %s') ", p.path, f.word)
		if len(f.values) > 0 {
			fmt.Fprintf(b, "COMPREPLY=($(compgen -W '%s' -- \"$cur\")); ", strings.Join(f.values, " "))
		}
		b.WriteString("return ;;\n")
	})
	b.WriteString("    esac\n    case $place in\n")
	for _, p := range places {
		fmt.Fprintf(b, "    '%s') words='%s' flags='%s' ;;\n", p.path, strings.Join(p.words(), " "), strings.Join(p.flagWords(), " "))
	}
	b.WriteString(`    esac
    [[ $cur == -* ]] && words=$flags
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _weir weir
`)
}

func completeZsh(b *strings.Builder, places []place) {
	fmt.Fprintf(b, `#compdef weir
# Completion of weir for zsh. To load it: source <(weir completion zsh)
_weir() {
    local place= word cur=${words[CURRENT]} flag=${words[CURRENT-1]}
    local -a offers flags
    for word in ${words[2,CURRENT-1]}; do
        case "$place/$word" in
        (%s) place+=/$word ;;
        esac
    done
    if [[ $cur == --*=* ]]; then
        flag=${cur%%%%=*}
        compset -P 1 '*='
    fi
    case "$place $flag" in
`, paths(places))
	eachValued(places, func(p *place, f offer) {
		fmt.Fprintf(b, "    ('%s %s') ", p.path, f.word)
		if len(f.values) > 0 {
			fmt.Fprintf(b, "compadd -- %s; return ;;\n", strings.Join(f.values, " "))
		} else {
			b.WriteString("_files; return ;;\n")
		}
	})
	b.WriteString("    esac\n    case $place in\n")
	for _, p := range places {
		fmt.Fprintf(b, "    ('%s')\n        offers=(%s)\n        flags=(%s) ;;\n", p.path, zshOffers(p.commands, p.values), zshOffers(p.flags, nil))
	}
	b.WriteString(`    esac
    if [[ $cur == -* ]]; then
        _describe 'flag' flags
    elif (( ${#offers} )); then
        _describe 'command' offers
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _weir ]]; then
    _weir "$@"
else
    compdef _weir weir
fi
`)
}

func zshOffers(offers []offer, values []string) string {
	var all []string
	for _, o := range offers {
		all = append(all, quoted(o.word+":"+strings.ReplaceAll(o.about, ":", `\:`), `'\''`))
	}
	for _, v := range values {
		all = append(all, quoted(v, `'\''`))
	}
	return strings.Join(all, " ")
}

// quoted is text in single quotes, with the shell's way of writing one in it.
func quoted(text, quote string) string { return "'" + strings.ReplaceAll(text, "'", quote) + "'" }

func completeFish(b *strings.Builder, places []place) {
	fmt.Fprintf(b, `# Completion of weir for fish. To load it: weir completion fish | source
function __weir_at
    set -l place
    for word in (commandline -opc)[2..-1]
        if contains -- "$place/$word" %s
            set place "$place/$word"
        end
    end
    test "$place" = "$argv[1]"
end
complete -c weir -f
`, strings.ReplaceAll(paths(places), "|", " "))
	for _, p := range places {
		at := fmt.Sprintf("complete -c weir -n %s", quoted("__weir_at "+fmt.Sprintf("%q", p.path), `\'`))
		for _, c := range p.commands {
			fmt.Fprintf(b, "%s -a %s -d %s\n", at, c.word, quoted(c.about, `\'`))
		}
		if len(p.values) > 0 {
			fmt.Fprintf(b, "%s -a %s\n", at, quoted(strings.Join(p.values, " "), `\'`))
		}
		if p.files {
			fmt.Fprintf(b, "%s -F\n", at)
		}
		for _, f := range p.flags {
			fmt.Fprintf(b, "%s -l %s", at, strings.TrimPrefix(f.word, "--"))
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(b, " -x -a %s", quoted(strings.Join(f.values, " "), `\'`))
			case f.takes:
				b.WriteString(" -r -F")
			}
			fmt.Fprintf(b, " -d %s\n", quoted(f.about, `\'`))
		}
	}
}
