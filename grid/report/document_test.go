// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

const movementText = `<movement><resource>CPU</resource><title>t</title><reference>r</reference>` +
	`<quantity>1.5</quantity><price>-0</price><VAT></VAT><category>a</category><category>b</category></movement>`

const transactionText = `<transaction type="Sale Packing List"><title>t</title><start_date></start_date><stop_date/>` +
	`<reference>C</reference><currency></currency><payment_mode></payment_mode><category>c</category>` +
	`<arrow type="Administration"><source></source><destination></destination></arrow>` + movementText + `</transaction>`

// SLAP-60.
func TestParsePartitionUsage(t *testing.T) {
	got, err := parsePartitionUsage([]byte("<?xml version='1.0' encoding='iso-8859-1'?><!-- c -->\n<consumption> <movement>" +
		"<resource>a &amp; <!-- c -->b</resource><quantity> 3e2\n</quantity><price>INF</price><VAT><![CDATA[<x>]]>\xe9</VAT>" +
		"</movement> </consumption>\n"))
	want := []usageMovement{{{"resource", "a & b"}, {"quantity", " 3e2\n"}, {"price", "INF"}, {"VAT", "<x>é"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

// usageDocuments are reports and changed copies: each element removed, doubled
// or moved, each text made a number.
func usageDocuments() []string {
	documents := []string{
		"", " ", "x", "<", "<consumption/>", "<consumption></consumption>", "<consumption>" + movementText,
		"<consumption>" + movementText + "</consumption>",
		"\ufeff<consumption>" + movementText + "</consumption>",
		"<consumption>" + movementText + movementText + "</consumption>",
		"<consumption>x" + movementText + "</consumption>",
		"<consumption>" + movementText + "</consumption><consumption/>",
		"<consumption>" + movementText + "</consumption>text",
		"<consumption a='b'>" + movementText + "</consumption>",
		"<consumption xmlns='urn:x'>" + movementText + "</consumption>",
		"<consumption xmlns:x='urn:x'>" + movementText + "</consumption>",
		"<consumption xmlns:xsi='" + schemaInstance + "' xsi:noNamespaceSchemaLocation='x.xsd'>" + movementText + "</consumption>",
		"<?pi x?><consumption><?pi y?><!-- z -->" + movementText + "</consumption><!-- end -->",
		strings.Replace("<consumption>"+movementText+"</consumption>", "CPU", "a<b/>c", 1),
		strings.Replace("<consumption>"+movementText+"</consumption>", "CPU", "&unknown;", 1),
		strings.Replace("<consumption>"+movementText+"</consumption>", "CPU", "&#x20ac;&lt;", 1),
		strings.Replace("<consumption>"+movementText+"</consumption>", "CPU", "&#0;", 1),
		strings.Replace("<consumption>"+movementText+"</consumption>", "CPU", "\xff", 1),
		strings.Replace("<consumption>"+movementText+"</consumption>", "CPU", "é", 1),
		strings.Replace("<consumption>"+movementText+"</consumption>", "<VAT>", "<VAT type='x'>", 1),
		"<journal>" + transactionText + "</journal>",
		"<journal>" + transactionText + transactionText + "</journal>",
		strings.Replace("<journal>"+transactionText+"</journal>", ` type="Administration"`, "", 1),
		strings.Replace("<journal>"+transactionText+"</journal>", ` type="Sale Packing List"`, "", 1),
		strings.Replace("<journal>"+transactionText+"</journal>", `<source></source>`, "<source type='x'></source>", 1),
		aggregateUsage("COMP-<1>", []partitionUsage{{"slappart0", []usageMovement{
			{{"resource", "a&b"}, {"reference", "x"}, {"quantity", "1"}, {"price", "2"}, {"VAT", ""}}}}}, time.Now()),
	}
	for _, number := range []string{"", " ", "1", " 1 ", "+1", "-1", "1.", ".1", ".", "1e5", "1E+5", "0x1", "1_0", "INF", "-INF", "+INF",
		"inf", "NaN", "nan", "infinity", "1e400", "1,5", "1 2", "٣", "1\u00a0"} {
		documents = append(documents, strings.Replace("<consumption>"+movementText+"</consumption>", "1.5", number, 1))
	}
	for _, document := range []string{"<consumption>" + movementText + "</consumption>", "<journal>" + transactionText + "</journal>"} {
		parts := strings.SplitAfter(document, ">")
		for i := range parts {
			for j := i + 1; j <= len(parts) && j < i+5; j++ {
				documents = append(documents,
					strings.Join(parts[:i], "")+strings.Join(parts[j:], ""),
					strings.Join(parts[:j], "")+strings.Join(parts[i:], ""))
				if k := j + 2; k < len(parts) {
					documents = append(documents, strings.Join(parts[:i], "")+strings.Join(parts[j:k], "")+strings.Join(parts[i:j], "")+strings.Join(parts[k:], ""))
				}
			}
		}
	}
	return documents
}

// TestUsageAgainstOriginal compares the verdicts with those of the original's
// schemas. GRID-86, SLAP-60.
func TestUsageAgainstOriginal(t *testing.T) {
	documents := usageDocuments()
	const script = `
import glob, json, os, sys, slapos.slap
from lxml import etree
doc = os.path.join(os.path.dirname(slapos.slap.__file__), 'doc')
schemas = [etree.XMLSchema(etree.parse(os.path.join(doc, name + '_consumption.xsd'))) for name in ('partition', 'computer')]
def valid(schema, text):
  try:
    return schema.validate(etree.fromstring(bytes(text)))
  except etree.XMLSyntaxError:
    return False
print(json.dumps([[valid(schema, text) for schema in schemas] for text in json.load(sys.stdin)]))
`
	bytesOf := make([][]int, len(documents))
	for i, document := range documents {
		bytesOf[i] = []int{}
		for _, c := range []byte(document) {
			bytesOf[i] = append(bytesOf[i], int(c))
		}
	}
	input, _ := json.Marshal(bytesOf)
	command := exec.Command(testkit.Python(t), "-c", script)
	command.Stdin, command.Stderr = bytes.NewReader(input), os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want [][2]bool
	if err := json.Unmarshal(output, &want); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for i, document := range documents {
		_, partition := parsePartitionUsage([]byte(document))
		computer := validateComputerUsage([]byte(document))
		if want[i] != [2]bool{partition == nil, computer == nil} {
			t.Errorf("the original says %v, we say %v, %v: %s", want[i], partition, computer, document)
		}
		if partition == nil || computer == nil {
			accepted++
		}
	}
	t.Logf("%d documents, %d accepted", len(documents), accepted)
}

func TestUsageRefusesDocumentTypes(t *testing.T) {
	for _, prefix := range []string{`<!DOCTYPE consumption>`, `<!DOCTYPE c [<!ENTITY a "b"><!ENTITY c SYSTEM "/etc/passwd">]>`} {
		if _, err := parsePartitionUsage([]byte(prefix + "<consumption>" + movementText + "</consumption>")); err == nil {
			t.Errorf("%s accepted", prefix)
		}
	}
}

// GRID-85.
func TestAggregateUsage(t *testing.T) {
	movements, err := parsePartitionUsage([]byte("<consumption>" + strings.Replace(movementText, "CPU", "a &lt;&amp;&gt; b", 1) + "</consumption>"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 1, 2, 3, 0, time.Local)
	got := aggregateUsage("COMP-1", []partitionUsage{{"slappart0", movements}, {"slappart1", movements[:0]}}, now)
	want := `<?xml version="1.0"?><journal><transaction type="Sale Packing List"><title>Resource consumptions</title>` +
		`<start_date></start_date><stop_date>2026-11-21 at 01:02:03</stop_date><reference>COMP-1</reference><currency></currency>` +
		`<payment_mode></payment_mode><category></category><arrow type="Administration"><source></source><destination></destination></arrow>` +
		`<movement><resource>a &lt;&amp;&gt; b</resource><title>t</title><reference>slappart0</reference><quantity>1.5</quantity>` +
		`<price>-0</price><VAT>None</VAT><category>a</category><category>b</category></movement></transaction></journal>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzUsage(f *testing.F) {
	for _, document := range usageDocuments() {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		_ = validateComputerUsage(content)
		movements, err := parsePartitionUsage(content)
		if err != nil {
			return
		}
		aggregate := aggregateUsage("COMP-1", []partitionUsage{{"slappart0", movements}}, time.Now())
		if err := validateComputerUsage([]byte(aggregate)); err != nil {
			t.Errorf("the aggregate is invalid: %v\n%s", err, aggregate)
		}
	})
}
