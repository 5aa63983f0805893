package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints a completion script. The scripts are static, made from the command tree: pressing TAB starts
// no process.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is the long text of `freshet completion --help`.
func (completionCommand) Help() string {
	return `Put one of these into the shell's start file:

  eval "$(freshet completion bash)"      # ~/.bashrc
  eval "$(freshet completion zsh)"       # ~/.zshrc, after compinit
  freshet completion fish | source       # ~/.config/fish/config.fish`
}

// Run prints the script.
func (c *completionCommand) Run(sh *shell, k *kong.Kong) error {
	places := completions(k.Model.Node, "")
	script := map[string]func([]place) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[c.Shell]
	_, err := io.WriteString(sh.out, script(places))
	return err
}

// place is a point in the command line and what may follow there.
type place struct {
	path  string // commands typed so far: "", "get", "get features"
	words []suggestion
}

// suggestion is one word that may follow.
type suggestion struct {
	word, help string
	flag       bool
}

// completions lists the places at and below n, whose commands so far are path.
func completions(n *kong.Node, path string) []place {
	here := place{path: path}
	var below []place
	for _, child := range n.Children {
		if child.Hidden {
			continue
		}
		here.words = append(here.words, suggestion{word: child.Name, help: child.Help})
		below = append(below, completions(child, strings.TrimSpace(path+" "+child.Name))...)
	}
	for _, p := range n.Positional {
		if p.Enum == "" {
			continue
		}
		for _, v := range p.EnumSlice() {
			here.words = append(here.words, suggestion{word: v, help: p.Help})
		}
	}
	for _, level := range n.AllFlags(true) {
		for _, f := range level {
			here.words = append(here.words, suggestion{word: "--" + f.Name, help: f.Help, flag: true})
		}
	}
	return append([]place{here}, below...)
}

// commandPaths are the paths of all commands, quoted, with sep between them.
func commandPaths(places []place, sep string) string {
	var paths []string
	for _, p := range places {
		if p.path != "" {
			paths = append(paths, quote(p.path))
		}
	}
	return strings.Join(paths, sep)
}

// quote makes s one word for a shell; the texts come from the command tree.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// firstSentence keeps the suggestions of a shell on one line.
func firstSentence(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(strings.Join(strings.Fields(sentence), " "), ".")
}

func bashScript(places []place) string {
	var b strings.Builder
	b.WriteString("# bash completion for freshet\n_freshet() {\n")
	b.WriteString("    local at='' word words=''\n")
	b.WriteString("    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n")
	fmt.Fprintf(&b, "        case \"${at:+$at }$word\" in\n            %s) at=\"${at:+$at }$word\" ;;\n        esac\n    done\n",
		commandPaths(places, "|"))
	b.WriteString("    case \"$at\" in\n")
	for _, p := range places {
		var words []string
		for _, s := range p.words {
			words = append(words, s.word)
		}
		fmt.Fprintf(&b, "        %s) words=%s ;;\n", quote(p.path), quote(strings.Join(words, " ")))
	}
	b.WriteString("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n")
	b.WriteString("complete -o default -F _freshet freshet\n") // files, where no word fits
	return b.String()
}

func zshScript(places []place) string {
	var b strings.Builder
	b.WriteString("#compdef freshet\n_freshet() {\n    local at='' word\n    local -a commands flags\n")
	b.WriteString("    for word in ${words[2,CURRENT-1]}; do\n")
	fmt.Fprintf(&b, "        case \"${at:+$at }$word\" in\n            %s) at=\"${at:+$at }$word\" ;;\n        esac\n    done\n",
		commandPaths(places, "|"))
	b.WriteString("    case \"$at\" in\n")
	describe := func(p place, flag bool) string {
		var words []string
		for _, s := range p.words {
			if s.flag == flag {
				words = append(words, quote(s.word+":"+firstSentence(s.help)))
			}
		}
		return strings.Join(words, " ")
	}
	for _, p := range places {
		fmt.Fprintf(&b, "        %s)\n            commands=(%s)\n            flags=(%s) ;;\n",
			quote(p.path), describe(p, false), describe(p, true))
	}
	b.WriteString("    esac\n    if [[ $PREFIX == -* ]]; then\n        _describe -o flag flags\n")
	b.WriteString("    elif (( $#commands )); then\n        _describe command commands\n    else\n        _files\n    fi\n}\n")
	// Sourced: register it. Autoloaded from fpath: this file is the function's first call.
	b.WriteString("if [[ $funcstack[1] == _freshet ]]; then\n    _freshet \"$@\"\nelse\n    compdef _freshet freshet\nfi\n")
	return b.String()
}

func fishScript(places []place) string {
	var b strings.Builder
	b.WriteString("# fish completion for freshet\nfunction __freshet_at\n    set -l at\n    set -l typed (commandline -opc)\n")
	b.WriteString("    set -e typed[1]\n    for word in $typed\n        switch (string join ' ' $at $word)\n")
	fmt.Fprintf(&b, "            case %s\n                set at $at $word\n        end\n    end\n", commandPaths(places, " "))
	b.WriteString("    test (string join ' ' $at) = \"$argv[1]\"\nend\n")
	for _, p := range places {
		condition := quote("__freshet_at \"" + p.path + "\"")
		// Where commands follow, files do not.
		files := ""
		if slices.ContainsFunc(p.words, func(s suggestion) bool { return !s.flag }) {
			files = " -f"
		}
		for _, s := range p.words {
			what := "-a " + s.word
			if s.flag {
				what = "-l " + strings.TrimPrefix(s.word, "--")
			}
			fmt.Fprintf(&b, "complete -c freshet%s -n %s %s -d %s\n", files, condition, what, quote(firstSentence(s.help)))
		}
	}
	return b.String()
}
