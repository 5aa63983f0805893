package cli

import "github.com/alecthomas/kong"

// tree is the grammar: every command and the flags that all of them take. Groups and order are those of the help text.
type tree struct {
	JSON bool `name:"json" help:"Answer in JSON."`

	Serve serveCommand `cmd:"" group:"run" help:"Run the server."`
	Demo  demoCommand  `cmd:"" group:"run" help:"See it work: a server, an example app and its users, in one command."`
	Bench benchCommand `cmd:"" group:"run" help:"Measure Freshet on this machine, beside what the machine itself can do."`

	Check    checkCommand `cmd:"" group:"project" help:"Check the project file, its tables and its models."`
	Embedder struct {
		Convert embedderConvertCommand `cmd:"" help:"Make a word table of GloVe or word2vec text."`
	} `cmd:"" group:"project" help:"Make what embeds texts."`

	Send sendCommand `cmd:"" group:"use" help:"Send events to a server: NDJSON or CSV."`
	Get  struct {
		Features   getFeaturesCommand   `cmd:"" help:"Read a feature view for one entity."`
		Prediction getPredictionCommand `cmd:"" help:"Read the newest prediction for a user."`
	} `cmd:"" group:"use" help:"Look at features and predictions."`

	Status statusCommand `cmd:"" group:"use" help:"Say how a server is: ready or not, what waits, how much it remembers."`

	Trace traceCommand `cmd:"" group:"use" help:"Tell what became of an event: features, jobs, predictions, with times."`

	Jobs        jobsCommand        `cmd:"" group:"use" help:"List predictions to make, or show what became of one."`
	DeadLetters deadLettersCommand `cmd:"" group:"use" help:"List, redrive or drop jobs that ended without a prediction."`

	Erase eraseCommand `cmd:"" group:"use" help:"Forget a user, everywhere; or prove that nothing is left of one."`

	Deliveries deliveriesCommand `cmd:"" group:"use" help:"List messages to people, show what became of one, or count how far they came."`

	Publish publishCommand `cmd:"" group:"use" help:"Make a model a version in the registry: a folder, a file, an archive, or one of MLflow."`
	Models  modelsCommand  `cmd:"" group:"use" help:"List models, or compare the versions of one."`
	Alias   aliasCommand   `cmd:"" group:"use" help:"Point an alias at a version of a model."`

	Plan     planCommand     `cmd:"" group:"release" help:"Show what a deployment would change."`
	Deploy   deployCommand   `cmd:"" group:"release" help:"Make a release of the project and have it go live, step by step."`
	Promote  promoteCommand  `cmd:"" group:"release" help:"Have the release on its way go its next step now."`
	Abort    abortCommand    `cmd:"" group:"release" help:"Take the release on its way back."`
	Rollback rollbackCommand `cmd:"" group:"release" help:"Have the former release serve everybody again, at once."`
	GC       gcCommand       `cmd:"" name:"gc" group:"release" help:"Say which artifacts of the registry nothing needs, or remove them."`
	Releases releasesCommand `cmd:"" group:"release" help:"List releases, or show one: who decided what, when and why."`

	Export   exportCommand   `cmd:"" group:"use" help:"Write a training set: features at past moments, from a data folder."`
	Evaluate evaluateCommand `cmd:"" group:"project" help:"Say how good a model would have been on events of the past."`

	Version    versionCommand    `cmd:"" group:"about" help:"Print the version."`
	Completion completionCommand `cmd:"" group:"about" help:"Print a completion script for a shell."`
}

func groups() []kong.Group {
	return []kong.Group{
		{Key: "run", Title: "Run"},
		{Key: "project", Title: "Project"},
		{Key: "use", Title: "Use a server"},
		{Key: "release", Title: "Releases"},
		{Key: "about", Title: "This program"},
		{Key: "limits", Title: "Limits"}, // flags of serve
	}
}
