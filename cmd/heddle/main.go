// Command heddle runs documents from the command line: see heddle help.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/heddle/heddle/internal/cli"
)

func main() {
	os.Exit(run())
}

// run interrupts the command at the first signal and leaves at once at the second.
func run() int {
	ctx, interrupt := context.WithCancelCause(context.Background())
	defer interrupt(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		interrupt(errors.New("interrupted"))
		<-signals
		os.Exit(130)
	}()
	dir, err := os.Getwd()
	if err != nil {
		dir = "" // it was removed: steps run where the executor has them run by default
	}
	streams := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Dir: dir}
	return cli.Main(ctx, os.Args[1:], streams, build())
}

// build says what this binary is, as the linker knows it.
func build() cli.BuildInfo {
	b := cli.BuildInfo{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}
