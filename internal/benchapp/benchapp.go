// Package benchapp is a kit: the app that `freshet bench` measures with. It writes a project (views, tables, a ranking
// model) and generates its events, everything from one seed, so that two runs measure the same work. It sends nothing and
// measures nothing.
//
// The app: 100,000 users and 100 titles; 70 % of the events are plays, 20 % biometric readings, 10 % searches; 4 views
// with 12 features; one event in five (two plays of seven, those that were completed) makes a job, which ranks the 100
// titles with 100 trees of 31 leaves over 17 inputs.
package benchapp

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/freshet-ml/freshet"
)

// Sizes of the app.
const (
	Users    = 100_000
	Titles   = 100
	Trees    = 100
	Leaves   = 31
	Views    = 4
	Features = 12
)

// Pipeline is the pipeline whose jobs one event in five makes.
const Pipeline freshet.PipelineName = "next"

//go:embed freshet.yaml
var projectText string

//go:embed features.yaml
var featuresText string

var categories = []string{"Sleep", "Focus", "Move", "Stress"}

// Write writes the project into dir, which must exist: the project file, its tables and its model.
func Write(dir string, seed uint64) error {
	for name, text := range map[string]string{
		"freshet.yaml": projectText,
		"catalog.csv":  catalog(seed),
		"profile.csv":  profile(seed),
		"ranker.lgb":   ranker(seed),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// WriteFeatures writes a project that computes AllFeatures of a user from the same events, five windows each, and makes no
// prediction.
func WriteFeatures(dir string, _ uint64) error { return writeProject(dir, featuresText) }

// WriteViews writes a project of the app's views alone. Another generation has the same views under other names: none of the
// rows of one is a row of the other.
func WriteViews(dir string, generation int) error {
	views, _, _ := strings.Cut(projectText, "\ntables:")
	return writeProject(dir, viewName.ReplaceAllString(views, fmt.Sprintf("  ${1}_%d:\n    entity:", generation)))
}

var viewName = regexp.MustCompile(`(?m)^  (\w+):\n    entity:`)

func writeProject(dir, text string) error {
	return os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(text), 0o644)
}

// WriteIdle writes the app with a pipeline that no event makes a job of: for filling a log that has nobody wait for predictions.
func WriteIdle(dir string, seed uint64) error {
	if err := Write(dir, seed); err != nil {
		return err
	}
	return writeProject(dir, strings.Replace(projectText, "where: completed", "where: seconds < 0", 1))
}

// ChangedView is the view in which ChangedProject differs from Project.
const ChangedView freshet.ViewName = "activity"

// ChangedProject is the text of the project file with one view changed: it sees a day of plays where it saw an hour, and has two
// features more.
func ChangedProject() []byte {
	return []byte(strings.Replace(projectText, `    window: sliding 1h
    features:
`, `    window: sliding 24h
    features:
      seconds_mean_24h: mean(seconds)
      longest_24h: max(seconds, category != "Sleep")
`, 1))
}

// AllFeatures are the features of WriteFeatures, VIEW.FEATURE, those of one window after the other.
func AllFeatures() []string {
	var names []string
	for _, view := range []struct {
		name     string
		features []string
	}{
		{"plays", []string{"plays", "seconds", "seconds_mean"}}, {"body", []string{"heart_rate", "heart_rate_max", "steps"}},
		{"taste", []string{"completed", "sleep", "bounce_rate", "seconds_max"}},
	} {
		for _, window := range []string{"10m", "1h", "24h", "7d", "30d"} {
			for _, f := range view.features {
				names = append(names, view.name+"."+f+"_"+window)
			}
		}
	}
	return names
}

// FeaturesProject is the text of the project file of WriteFeatures.
func FeaturesProject() []byte { return []byte(featuresText) }

// Project is the text of the project file.
func Project() []byte { return []byte(projectText) }

// random is a source of its own for each part of the app, so that a change in one does not change the others.
func random(seed uint64, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }

const (
	partCatalog = iota
	partProfile
	partRanker
	partEvents
)

func userID(n int) string  { return fmt.Sprintf("u%06d", n) }
func titleID(n int) string { return fmt.Sprintf("t%03d", n) }

func catalog(seed uint64) string {
	r := random(seed, partCatalog)
	var b strings.Builder
	b.WriteString("content_id,category,minutes,age_days,title\n")
	for n := range Titles {
		fmt.Fprintf(&b, "%s,%s,%d,%d,Title %d\n", titleID(n), categories[n%len(categories)], 3+r.IntN(25), r.IntN(700), n)
	}
	return b.String()
}

func profile(seed uint64) string {
	r := random(seed, partProfile)
	var b strings.Builder
	b.WriteString("user_id,tenure_days\n")
	for n := range Users {
		fmt.Fprintf(&b, "%s,%d\n", userID(n), r.IntN(2000))
	}
	return b.String()
}
