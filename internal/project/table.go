package project

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/table"
)

// Table is a feature set by entity key, with typed columns: of a file, or with rows that come through the doors.
type Table struct {
	Name   freshet.TableName
	Entity freshet.EntityKind
	Push   bool   // rows come through the doors; there is no file
	File   string // CSV or Parquet, relative to the project file, with slashes; never outside its folder
	// Spec says how to read the file. In a table that some pipeline takes its candidates from, the key fields come first
	// among the columns, so that expressions can name them; elsewhere the key is known without the table.
	Spec table.Spec
}

var columnTypes = []string{"string", "int", "float", "bool", "time"}

// pushTypes are the types of columns in push tables: those of files, and lists of texts, which a table of a file cannot hold.
var pushTypes = append(slices.Clone(columnTypes), "strings")

// pushNames are columns that clients send with each pushed row beside those of the table.
var pushNames = []string{"event_timestamp", "event_time", "created"}

// columnOf is a column of one of pushTypes.
func columnOf(name, typ string) table.Column {
	kinds := map[string]expression.Kind{
		"string": expression.String, "int": expression.Number, "float": expression.Number, "bool": expression.Bool, "time": expression.Time,
		"strings": expression.List,
	}
	return table.Column{Name: name, Kind: kinds[typ], Int: typ == "int"}
}

// column finds the type of a column.
func (t Table) column(name string) (expression.Type, bool) {
	c, ok := first(t.Spec.Columns, func(c table.Column) bool { return c.Name == name })
	return c.Type(), ok
}

func (t Table) columnNames() []string {
	names := make([]string, len(t.Spec.Columns))
	for i, c := range t.Spec.Columns {
		names[i] = c.Name
	}
	return names
}

// reserved are the names that begin something else than a view or table in a pipeline's expressions.
var reserved = []string{"candidate", "event", "context", "now"}

func isReserved(name string) bool { return slices.Contains(reserved, name) }

// tables reads the tables; false if one is wrong.
func (r *reader) tables(p *Project, n *node) bool {
	before := len(r.issues)
	r.named(n, "tables", func(name string, key, value *node) {
		path := "tables." + name
		s, ok := r.section(value, path, tableKeys, nil)
		if !ok {
			return
		}
		if _, taken := p.View(freshet.ViewName(name)); taken || isReserved(name) {
			r.issue(key, "%s: %s has another meaning in pipelines; choose another name", path, name)
		}
		t := Table{Name: freshet.TableName(name), File: s.text("file")}
		s.need("entity")
		if t.Entity = r.entityOf(s); t.Entity != "" {
			entity, _ := p.Entity(t.Entity)
			t.Spec = table.Spec{Name: t.Name, KeyFields: entity.KeyFields}
		}
		if r.areCandidates(name) {
			for _, k := range t.Spec.KeyFields {
				t.Spec.Columns = append(t.Spec.Columns, columnOf(k, "string"))
			}
		}
		types := columnTypes
		if t.Push = s.get("push") != nil; t.Push {
			r.pushTable(s, name)
			types = pushTypes
		} else if s.need("file") != nil {
			r.tableFile(s.get("file"), path, t.File)
		}
		r.named(s.get("columns"), path+".columns", func(column string, key, value *node) {
			typ := r.scalar(value, path+".columns."+column)
			if slices.Contains(t.Spec.KeyFields, column) {
				r.issue(key, "%s.columns: %s is the key of entity %s already", path, column, t.Entity)
				return
			}
			if t.Push && slices.Contains(pushNames, column) {
				r.issue(key, "%s.columns: %s is what clients call the event time and the like of a row; choose another name", path, column)
			}
			if typ != "" && r.one(value, path+".columns."+column, "type of column", typ, types) {
				t.Spec.Columns = append(t.Spec.Columns, columnOf(column, typ))
			}
		})
		p.Tables = append(p.Tables, t)
	})
	return len(r.issues) == before
}

// pushTable checks what a table without a file must and must not have.
func (r *reader) pushTable(s section, name string) {
	push := s.get("push")
	if push.kind != scalarNode || push.quoted || push.text != "true" {
		r.issue(push, "%s: push: expected true; leave it out for a table of a file", s.path)
	}
	if file := s.get("file"); file != nil {
		r.issue(file, "%s: file: rows come by push or from a file, not both", s.path)
	}
	if r.areCandidates(name) {
		r.issue(push, "%s: push: a pipeline takes its candidates from this table, and those come from a file", s.path)
	}
	if columns := s.need("columns"); columns != nil && columns.kind == mapNode && len(columns.entries) == 0 {
		r.issue(columns, "%s: columns: a push table has at least one", s.path)
	}
}

// areCandidates says whether a pipeline takes its candidates from the table.
func (r *reader) areCandidates(name string) bool {
	pipelines := section{r: r, node: r.root}.get("pipelines")
	return pipelines != nil && slices.ContainsFunc(pipelines.entries, func(e entry) bool {
		candidates := section{r: r, node: e.value}.get("candidates")
		return candidates != nil && candidates.text == name
	})
}

func (r *reader) tableFile(n *node, path, file string) {
	r.localPath(n, path+": file", file)
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".csv", ".parquet", ".pq", "": // which of both it is its content says
	default:
		r.issue(n, "%s: file: %s is not read; give a CSV or Parquet file", path, ext)
	}
}
