// Command freshet is the server and the command line of Freshet. `freshet` alone prints what it can do.
package main

import (
	"os"

	"github.com/freshet-ml/freshet/cli"
)

func main() { os.Exit(cli.Main(cli.Options{})) }
