// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import "testing"

// TestExpandTemplate runs the examples of RFC 6570, sections 1.2 and 3.2, and
// the templates of Masters.
func TestExpandTemplate(t *testing.T) {
	variables := map[string]any{
		"count":       []string{"one", "two", "three"},
		"dom":         []string{"example", "com"},
		"dub":         "me/too",
		"hello":       "Hello World!",
		"half":        "50%",
		"var":         "value",
		"who":         "fred",
		"base":        "http://example.com/home/",
		"path":        "/foo/bar",
		"list":        []string{"red", "green", "blue"},
		"keys":        map[string]string{"semi": ";", "dot": ".", "comma": ","},
		"v":           6,
		"x":           1024,
		"y":           768,
		"empty":       "",
		"empty_keys":  map[string]string{},
		"empty_list":  []string{},
		"undef":       nil,
		"uni":         "é€",
		"query":       `portal_type:"Instance Tree" AND validation_state:validated`,
		"select_list": []string{"title", "url_string"},
		"limit":       40,
	}
	for template, want := range map[string]string{
		"{var}": "value", "{hello}": "Hello%20World%21", "{half}": "50%25", "O{empty}X": "OX", "O{undef}X": "OX",
		"{x,y}": "1024,768", "{x,hello,y}": "1024,Hello%20World%21,768", "?{x,empty}": "?1024,", "?{x,undef}": "?1024",
		"?{undef,y}": "?768", "{var:3}": "val", "{var:30}": "value", "{uni:1}": "%C3%A9",
		"{list}": "red,green,blue", "{list*}": "red,green,blue",
		"{keys}": "comma,%2C,dot,.,semi,%3B", "{keys*}": "comma=%2C,dot=.,semi=%3B",

		"{+var}": "value", "{+hello}": "Hello%20World!", "{+half}": "50%25", "{base}index": "http%3A%2F%2Fexample.com%2Fhome%2Findex",
		"{+base}index": "http://example.com/home/index", "O{+empty}X": "OX", "{+path}/here": "/foo/bar/here",
		"up{+path}{var}/here": "up/foo/barvalue/here", "{+x,hello,y}": "1024,Hello%20World!,768", "{+path:6}/here": "/foo/b/here",
		"{+list}": "red,green,blue", "{+keys}": "comma,,,dot,.,semi,;", "{+keys*}": "comma=,,dot=.,semi=;",

		"{#var}": "#value", "{#hello}": "#Hello%20World!", "foo{#empty}": "foo#", "foo{#undef}": "foo",
		"{#x,hello,y}": "#1024,Hello%20World!,768", "{#path:6}here": "#/foo/bhere", "{#list*}": "#red,green,blue",

		"{.who}": ".fred", "{.who,who}": ".fred.fred", "{.half,who}": ".50%25.fred", "www{.dom*}": "www.example.com",
		"X{.empty}": "X.", "X{.undef}": "X", "X{.list}": "X.red,green,blue", "X{.list*}": "X.red.green.blue",
		"X{.keys*}": "X.comma=%2C.dot=..semi=%3B", "X{.empty_keys}": "X", "X{.empty_keys*}": "X",

		"{/who,dub}": "/fred/me%2Ftoo", "{/var,empty}": "/value/", "{/var,undef}": "/value", "{/var:1,var}": "/v/value",
		"{/list*}": "/red/green/blue", "{/keys*}": "/comma=%2C/dot=./semi=%3B",

		"{;who}": ";who=fred", "{;empty}": ";empty", "{;v,empty,who}": ";v=6;empty;who=fred", "{;v,undef,who}": ";v=6;who=fred",
		"{;hello:5}": ";hello=Hello", "{;list}": ";list=red,green,blue", "{;list*}": ";list=red;list=green;list=blue",
		"{;keys}": ";keys=comma,%2C,dot,.,semi,%3B", "{;keys*}": ";comma=%2C;dot=.;semi=%3B",

		"{?who}": "?who=fred", "{?x,y,empty}": "?x=1024&y=768&empty=", "{?x,y,undef}": "?x=1024&y=768", "{?var:3}": "?var=val",
		"{?list}": "?list=red,green,blue", "{?list*}": "?list=red&list=green&list=blue", "{?empty_list}": "",
		"{?keys*}": "?comma=%2C&dot=.&semi=%3B",

		"{&who}": "&who=fred", "?fixed=yes{&x}": "?fixed=yes&x=1024", "{&x,y,empty}": "&x=1024&y=768&empty=",
		"{&list*}": "&list=red&list=green&list=blue", "{&count}": "&count=one,two,three",

		"a é{var}%41 ": "a%20%C3%A9value%41%20", "": "",

		// SLAP-73, a proxy; SLAP-71, a Master.
		"http://h/hateoas/?mode=search&query={query}&select_list={select_list}": "http://h/hateoas/?mode=search&query=" +
			"portal_type%3A%22Instance%20Tree%22%20AND%20validation_state%3Avalidated&select_list=title,url_string",
		"https://h/?mode=search{&query,select_list*,limit*,group_by*,sort_on*,local_roles*,selection_domain*}": "https://h/?mode=search" +
			"&query=portal_type%3A%22Instance%20Tree%22%20AND%20validation_state%3Avalidated&select_list=title&select_list=url_string&limit=40",
	} {
		got, err := expandTemplate(template, variables)
		if err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", template, err, got, want)
		}
	}
	for _, bad := range []string{"{", "{}", "}", "{a", "{a b}", "{a:}", "{a:0}", "{a:x}", "{a:10000}", "{a:3*}", "{=a}", "{a,}", "{!a}"} {
		if got, err := expandTemplate(bad, variables); err == nil {
			t.Errorf("%s: expanded to %s", bad, got)
		}
	}
}
