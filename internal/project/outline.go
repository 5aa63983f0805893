package project

import "strings"

// Line is one value of a project file with its place: "views.session.features.plays" and "count()". A list is one value.
type Line struct {
	Path, Text string
}

// Outline is the file as its values, in its order: without comments, layout and ways to write the same.
func (p *Project) Outline() []Line {
	r := &reader{file: p.Name, text: p.Text}
	root, ok := r.document()
	if !ok {
		return nil // p was checked: there is no such file
	}
	return appendOutline(nil, "", root)
}

func appendOutline(lines []Line, path string, n *node) []Line {
	if n.kind != mapNode || len(n.entries) == 0 {
		return append(lines, Line{path, compact(n)})
	}
	for _, e := range n.entries {
		at := e.key.text
		if path != "" {
			at = path + "." + at
		}
		lines = appendOutline(lines, at, e.value)
	}
	return lines
}

// compact writes a value in one line.
func compact(n *node) string {
	var texts []string
	switch n.kind {
	case listNode:
		for _, item := range n.items {
			texts = append(texts, compact(item))
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case mapNode:
		for _, e := range n.entries {
			texts = append(texts, e.key.text+": "+compact(e.value))
		}
		return "{" + strings.Join(texts, ", ") + "}"
	case scalarNode:
		return n.text
	}
	return ""
}
