// SPDX-License-Identifier: GPL-3.0-or-later

package argv

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// sampleCommands have every kind of option and argument.
func sampleCommands() ([]*cli.Command, []cli.Flag) {
	return []*cli.Command{
			{Name: "request", ArgsUsage: "REFERENCE URL", Flags: []cli.Flag{
				&cli.StringFlag{Name: "cfg"},
				&WordsFlag{StringSliceFlag: &cli.StringSliceFlag{Name: "node"}},
				&WordsFlag{StringSliceFlag: &cli.StringSliceFlag{Name: "parameters"}},
				&cli.StringFlag{Name: "parameters-file"},
				&cli.BoolFlag{Name: "slave", Aliases: []string{"s"}},
				&cli.StringFlag{Name: "message", Aliases: []string{"m"}},
			}},
			{Name: "console", ArgsUsage: "[SCRIPT] [ARGUMENT...]"},
			{Name: "node", Subcommands: []*cli.Command{
				{Name: "software", Flags: []cli.Flag{
					&cli.StringFlag{Name: "only-sr", Aliases: []string{"only"}}, &cli.IntFlag{Name: "promise-timeout"},
				}},
				{Name: "status", ArgsUsage: "...", Flags: []cli.Flag{&cli.StringFlag{Name: "cfg"}}},
			}},
		}, []cli.Flag{
			&cli.BoolFlag{Name: "help", Aliases: []string{"h"}},
			&cli.BoolFlag{Name: "version"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}},
			&cli.BoolFlag{Name: "debug"},
			&cli.StringFlag{Name: "log-file", Aliases: []string{"logfile", "log_file"}},
			ChoiceFlag(new(string), "log-format", "", "text", "json"),
			&cli.BoolFlag{Name: "log-color"},
			&cli.BoolFlag{Name: "log-time"},
		}
}

func readSample(words ...string) (*Line, error) {
	commands, global := sampleCommands()
	return Read(commands, global, words)
}

// CLI-1: global options anywhere; CLI-5: node alone.
// D-25.
func TestReadLine(t *testing.T) {
	for _, test := range []struct {
		words                      string
		path                       string
		global, options, arguments []string
	}{
		{"request a b", "request", nil, nil, []string{"a", "b"}},
		{"request a --slave b --cfg x", "request", nil, []string{"--slave=true", "--cfg=x"}, []string{"a", "b"}},
		{"request a b --cfg=x=y", "request", nil, []string{"--cfg=x=y"}, []string{"a", "b"}},
		{"request a b --cfg=", "request", nil, []string{"--cfg="}, []string{"a", "b"}},
		{"request a b --node x=1 y=2 --parameters z=3", "request", nil, []string{"--node=x=1", "--node=y=2", "--parameters=z=3"}, []string{"a", "b"}},
		{"request --node x=1 -- a b", "request", nil, []string{"--node=x=1"}, []string{"a", "b"}},
		{"request --node=x=1 a b", "request", nil, []string{"--node=x=1"}, []string{"a", "b"}},
		{"request -- -a --b", "request", nil, nil, []string{"-a", "--b"}},
		{"request - -1", "request", nil, nil, []string{"-", "-1"}},
		{"request -sm text a b", "request", nil, []string{"--slave=true", "--message=text"}, []string{"a", "b"}},
		{"request -smtext a b", "request", nil, []string{"--slave=true", "--message=text"}, []string{"a", "b"}},
		{"request -m=text a b", "request", nil, []string{"--message=text"}, []string{"a", "b"}},
		{"request -m -1 a b", "request", nil, []string{"--message=-1"}, []string{"a", "b"}},
		{"request --mess text a b --sl", "request", nil, []string{"--message=text", "--slave=true"}, []string{"a", "b"}},
		{"request --parameters-f x a b", "request", nil, []string{"--parameters-file=x"}, []string{"a", "b"}},
		{"-v request --log_file l a -vv b --verb", "request",
			[]string{"--verbose=true", "--log-file=l", "--verbose=true", "--verbose=true", "--verbose=true"}, nil, []string{"a", "b"}},
		{"node software --only x", "node software", nil, []string{"--only-sr=x"}, nil},
		{"node -q software --logfile=x", "node software", []string{"--quiet=true", "--log-file=x"}, nil, nil},
		{"node", "node status", nil, nil, nil},
		{"-v node", "node status", []string{"--verbose=true"}, nil, nil},
		{"node status --cfg x all -f --cfg y -v", "node status", []string{"--verbose=true"}, []string{"--cfg=x"}, []string{"all", "-f", "--cfg", "y"}},
		{"node status -f all", "node status", nil, nil, []string{"-f", "all"}},
		{"node status -- -v", "node status", nil, nil, []string{"-v"}},
		{"console a b c", "console", nil, nil, []string{"a", "b", "c"}},
		{"console", "console", nil, nil, nil},
	} {
		t.Run(test.words, func(t *testing.T) {
			l, err := readSample(strings.Fields(test.words)...)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(l.Path, " ") != test.path || !slices.Equal(l.Global, test.global) ||
				!slices.Equal(l.Options, test.options) || !slices.Equal(l.Arguments, test.arguments) {
				t.Errorf("got %+v", l)
			}
		})
	}
}

func TestReadLineKeepsTextWithBlanks(t *testing.T) {
	l, err := readSample("request", "--message", "-a b", "--message=-c d", "-e f", "g")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.Options, []string{"--message=-a b", "--message=-c d"}) || !slices.Equal(l.Arguments, []string{"-e f", "g"}) {
		t.Errorf("got %+v", l)
	}
}

func TestReadLineErrors(t *testing.T) {
	for _, test := range []struct{ words, want string }{
		{"request a", "the following arguments are required: URL"},
		{"request", "the following arguments are required: REFERENCE, URL"},
		{"request a b c d", "unrecognized arguments: c d"},
		{"request a b --mesage x", "unrecognized arguments: --mesage (did you mean --message?)"},
		{"request a b -x", "unrecognized arguments: -x"},
		{"request a b -sx", "unrecognized arguments: -sx"},
		{"request a b --cfg", "argument --cfg: expected one argument"},
		{"request a b --cfg --slave", "argument --cfg: expected one argument"},
		{"request a b -m -s", "argument -m/--message: expected one argument"},
		{"request a b --node", "argument --node: expected at least one argument"},
		{"request a b --slave=x", "argument -s/--slave: takes no value, not 'x'"},
		{"request a b --par x", "ambiguous option: --par could match --parameters, --parameters-file"},
		{"--log request a b", "ambiguous option: --log could match --log-file, --logfile, --log_file, --log-format, --log-color, --log-time"},
		{"request a b --no-such", "unrecognized arguments: --no-such"},
		{"node software x", "unrecognized arguments: x"},
	} {
		_, err := readSample(strings.Fields(test.words)...)
		var usage *UsageError
		if !errors.As(err, &usage) || usage.Text != test.want {
			t.Errorf("%s: %v, want %s", test.words, err, test.want)
		}
	}
}

func TestReadLineUnknownCommands(t *testing.T) {
	for _, test := range []struct{ words, unknown, option string }{
		{"nope", "nope", ""},
		{"node nope x", "node nope x", ""},
		{"computer", "computer", ""},
		{"--foo node software", "", "--foo"},
		{"node --cfg X", "", "--cfg"},
		{"-v node -x", "", "-x"},
		{"- node", "", "-"},
	} {
		_, err := readSample(strings.Fields(test.words)...)
		var unknown *UnknownCommandError
		if !errors.As(err, &unknown) || unknown.Words != test.unknown || unknown.Option != test.option {
			t.Errorf("%s: %#v", test.words, err)
		}
	}
}

func TestReadLineHelp(t *testing.T) {
	for words, path := range map[string]string{
		"": "", "-v": "", "--help": "", "-h node nope": "", "nope --help": "",
		"node software --bad -h": "node software", "request --cfg -h": "request", "node status --help": "node status",
	} {
		l, err := readSample(strings.Fields(words)...)
		if err != nil || !l.Help || strings.Join(l.Path, " ") != path {
			t.Errorf("%s: %+v, %v", words, l, err)
		}
	}
	if l, err := readSample("request", "--", "--help", "x"); err != nil || l.Help {
		t.Errorf("after --: %+v, %v", l, err)
	}
	if l, err := readSample("nope", "--version"); err != nil || !l.Version {
		t.Errorf("version: %+v, %v", l, err)
	}
}

// Whatever the words, they are read without panic, none is lost, and ordering
// the ordered words changes nothing.
func FuzzReadLine(f *testing.F) {
	for _, words := range []string{
		"request a b --node x=1 y=2", "-v\nnode\n--log-file\nx", "node\nstatus\n-vq\n--\n-x", "request\n-smx\n--mess=a\n-1",
		"request\n-- -a b\n--cfg\n-1\nx", "console\n-é\n--é", "--l", "node software\n--only=\n--promise-timeout\n-3",
	} {
		f.Add(strings.ReplaceAll(words, " ", "\n"))
	}
	switches := []string{"--slave", "--verbose", "--quiet", "--debug", "--log-color", "--log-time"}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		l, err := readSample(words...)
		if err != nil || l.Help || l.Version {
			return
		}
		again := slices.Concat(l.Global, l.Path, l.Options, []string{"--"}, l.Arguments)
		for i, word := range again {
			if name, found := strings.CutSuffix(word, "=true"); found && slices.Contains(switches, name) {
				again[i] = name
			}
			if word == "--" {
				break
			}
		}
		second, err := readSample(again...)
		if err != nil {
			t.Fatalf("%q read as %q, which is refused: %v", words, again, err)
		}
		if !slices.Equal(l.Global, second.Global) || !slices.Equal(l.Path, second.Path) ||
			!slices.Equal(l.Options, second.Options) || !slices.Equal(l.Arguments, second.Arguments) {
			t.Fatalf("%q read as %+v, then as %+v", words, l, second)
		}
	})
}
