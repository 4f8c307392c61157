// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"slapos/slap/wholefile"
)

// Only the canvases of gonum's plot are used. Its diagrams would add twelve
// fonts, a PDF writer and a formula renderer: 6 MB of program for three axes.

// mostLines is how many partitions have their own line in a plot. The others,
// which used less, share one line.
const mostLines = 8

// palette has distinct colours, for the colour-blind, too; the last is for the
// others.
var palette = []color.RGBA{
	{R: 0, G: 114, B: 178, A: 255}, {R: 213, G: 94, B: 0, A: 255}, {R: 0, G: 158, B: 115, A: 255}, {R: 204, G: 121, B: 167, A: 255},
	{R: 86, G: 180, B: 233, A: 255}, {R: 230, G: 159, B: 0, A: 255}, {R: 150, G: 120, B: 20, A: 255}, {R: 90, G: 60, B: 160, A: 255}, {R: 130, G: 130, B: 130, A: 255},
}

// A panel is one of the diagrams, which are stacked.
type panel struct {
	title  string
	unit   float64
	values func(*Track) []float64
}

var panels = []panel{
	{title: "CPU, % of one processor", unit: 1, values: func(t *Track) []float64 { return t.CPU }},
	{title: "memory, MiB", unit: 1 << 20, values: func(t *Track) []float64 { return t.Memory }},
	{title: "disk, MiB", unit: 1 << 20, values: func(t *Track) []float64 { return t.Disk }},
}

// Plot draws CPU, memory and disk use of partitions over time to a file, whose
// name ends with .svg or .png.
func Plot(use *Use, path string) error {
	const width, margin = 760, 6
	height := vg.Length(len(panels))*panelHeight + 2*margin
	var canvas interface {
		vg.CanvasSizer
		io.WriterTo
	}
	switch extension := strings.ToLower(filepath.Ext(path)); extension {
	case ".svg":
		canvas = vgsvg.New(width, height)
	case ".png":
		canvas = vgimg.PngCanvas{Canvas: vgimg.New(width, height)}
	default:
		return fmt.Errorf("a plot is .svg or .png, not %q", extension)
	}
	face, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return err
	}
	d := &drawing{CanvasSizer: canvas, face: font.Face{Font: font.Font{Typeface: "sans-serif", Size: 9}, Face: face}, use: use}
	d.rectangle(0, 0, width, height, color.White)
	tracks := use.shown()
	for i, p := range panels {
		bottom := margin + vg.Length(len(panels)-1-i)*panelHeight
		d.panel(p, tracks, area{left: 60, right: width - 150, bottom: bottom + 24, top: bottom + panelHeight - 20})
	}
	file, err := wholefile.Create(path, wholefile.ExactMode(0o644))
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }()
	if _, err := canvas.WriteTo(file); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return file.CloseAtomicallyReplace()
}

const panelHeight vg.Length = 200

var (
	gridColour = color.Gray{Y: 224}
	textColour = color.Gray{Y: 64}
)

// area is the place of a panel's lines; the labels are around it.
type area struct{ left, right, bottom, top vg.Length }

type drawing struct {
	vg.CanvasSizer
	face font.Face
	use  *Use
}

func (d *drawing) rectangle(left, bottom, right, top vg.Length, fill color.Color) {
	var p vg.Path
	p.Move(vg.Point{X: left, Y: bottom})
	p.Line(vg.Point{X: right, Y: bottom})
	p.Line(vg.Point{X: right, Y: top})
	p.Line(vg.Point{X: left, Y: top})
	p.Close()
	d.SetColor(fill)
	d.Fill(p)
}

func (d *drawing) line(colour color.Color, width vg.Length, points ...vg.Point) {
	var p vg.Path
	p.Move(points[0])
	for _, point := range points[1:] {
		p.Line(point)
	}
	d.SetColor(colour)
	d.SetLineWidth(width)
	d.Stroke(p)
}

// text writes a text that begins at, is centred on, or ends at a point: align
// is 0, 0.5 or 1.
func (d *drawing) text(x, y vg.Length, align float64, text string) {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	d.SetColor(textColour)
	d.FillString(d.face, vg.Point{X: x - d.face.Width(text)*vg.Length(align), Y: y}, text)
}

func (d *drawing) panel(p panel, tracks []Track, a area) {
	highest := 0.0
	for i := range tracks {
		for _, value := range p.values(&tracks[i]) {
			if value > highest { // false if there is none
				highest = value
			}
		}
	}
	step, top := scale(highest / p.unit)
	y := func(value float64) vg.Length { return a.bottom + vg.Length(value/top)*(a.top-a.bottom) }
	for value := 0.0; value <= top*1.0001; value += step {
		d.line(gridColour, 0.7, vg.Point{X: a.left, Y: y(value)}, vg.Point{X: a.right, Y: y(value)})
		d.text(a.left-5, y(value)-3, 1, trimZeros(value))
	}
	seconds := d.use.To.Sub(d.use.From).Seconds()
	x := func(moment float64) vg.Length { return a.left + vg.Length(moment/seconds)*(a.right-a.left) }
	ticks, layout := timeTicks(d.use.From, d.use.To)
	for _, tick := range ticks {
		at := x(tick.Sub(d.use.From).Seconds())
		d.line(gridColour, 0.7, vg.Point{X: at, Y: a.bottom}, vg.Point{X: at, Y: a.top})
		d.text(at, a.bottom-12, 0.5, tick.Format(layout))
	}
	const moment = "2006-01-02 15:04"
	d.text(a.left, a.top+6, 0, p.title)
	d.text(a.right, a.top+6, 1, d.use.From.Format(moment)+" to "+d.use.To.Format(moment)+" UTC")
	for i := range tracks {
		colour := palette[min(i, len(palette)-1)]
		for _, part := range connected(p.values(&tracks[i]), d.use.Step.Seconds(), d.use.usualGap()) {
			points := make([]vg.Point, len(part))
			for j, q := range part {
				points[j] = vg.Point{X: min(x(q.seconds), a.right), Y: y(q.value / p.unit)}
			}
			d.line(colour, 1.4, points...)
		}
		beside := a.top - 6 - vg.Length(i)*14
		d.line(colour, 2, vg.Point{X: a.right + 10, Y: beside}, vg.Point{X: a.right + 26, Y: beside})
		d.text(a.right+31, beside-3, 0, shorten(tracks[i].Name))
	}
}

// shorten keeps a name inside the picture.
func shorten(name string) string {
	const longest = 20
	if len(name) > longest {
		return "..." + name[len(name)-longest+3:]
	}
	return name
}

// scale returns the distance between grid lines, and the topmost line: at or
// above the highest value.
func scale(highest float64) (step, top float64) {
	if !(highest > 1e-6) || math.IsInf(highest, 0) {
		highest = 1
	}
	magnitude := math.Pow(10, math.Floor(math.Log10(highest/4)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if step = factor * magnitude; highest/step <= 5 {
			break
		}
	}
	return step, math.Ceil(highest/step-1e-9) * step
}

func trimZeros(value float64) string { return fmt.Sprintf("%.6g", value) }

// timeTicks returns up to ten round times in a period, with their labels.
func timeTicks(from, to time.Time) (ticks []time.Time, layout string) {
	const day = 24 * time.Hour
	step, layout := 365*day, dateLayout
	for _, s := range []time.Duration{
		time.Second, 10 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day,
	} {
		if to.Sub(from) <= 10*s {
			step = s
			break
		}
	}
	switch {
	case step < time.Minute:
		layout = timeLayout
	case step < 12*time.Hour:
		layout = "15:04"
	case step < day:
		layout = "01-02 15:04"
	}
	for tick := from.Truncate(step); !tick.After(to); tick = tick.Add(step) {
		if !tick.Before(from) {
			ticks = append(ticks, tick)
		}
	}
	return ticks, layout
}

type point struct{ seconds, value float64 }

// connected returns the parts of a track. A track has a gap if more than twice
// the usual number of steps has no value. A value is in the middle of its step;
// a lone one is as wide as the step.
func connected(values []float64, step float64, usual int) (parts [][]point) {
	var part []point
	end := func() {
		if len(part) == 1 {
			part = []point{{seconds: part[0].seconds - step/2, value: part[0].value}, {seconds: part[0].seconds + step/2, value: part[0].value}}
		}
		if part != nil {
			parts = append(parts, part)
		}
		part = nil
	}
	last := 0
	for i, value := range values {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		if i-last > 2*usual {
			end()
		}
		last = i
		part = append(part, point{seconds: (float64(i) + 0.5) * step, value: max(0, value)})
	}
	end()
	return parts
}

// usualGap returns the median number of steps between two samples.
func (u *Use) usualGap() int {
	var gaps []int
	last := -1
	for i, value := range u.Computer.CPU {
		if math.IsNaN(value) {
			continue
		}
		if last >= 0 {
			gaps = append(gaps, i-last)
		}
		last = i
	}
	if gaps == nil {
		return 1
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// shown returns the tracks of the partitions that used most, and the sum of the
// others.
func (u *Use) shown() []Track {
	if len(u.Partitions) <= mostLines+1 {
		return u.Partitions
	}
	weights := map[string]float64{}
	for _, p := range panels {
		total := 0.0
		for i := range u.Partitions {
			total += sumOf(p.values(&u.Partitions[i]))
		}
		for i := range u.Partitions {
			if t := &u.Partitions[i]; total > 0 {
				weights[t.Name] = max(weights[t.Name], sumOf(p.values(t))/total)
			}
		}
	}
	order := slices.Clone(u.Partitions)
	slices.SortStableFunc(order, func(a, b Track) int { return cmp.Compare(weights[b.Name], weights[a.Name]) })
	rest := newTrack(fmt.Sprintf("%d others", len(order)-mostLines), len(order[0].CPU))
	for i := range order[mostLines:] {
		t := &order[mostLines+i]
		for _, p := range panels {
			for step, value := range p.values(t) {
				if !math.IsNaN(value) {
					add(p.values(&rest), step, value)
				}
			}
		}
	}
	shown := order[:mostLines]
	slices.SortFunc(shown, func(a, b Track) int { return byNumber(a.Name, b.Name) })
	return append(shown, rest)
}

func sumOf(values []float64) (sum float64) {
	for _, value := range values {
		if !math.IsNaN(value) {
			sum += value
		}
	}
	return sum
}
