package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/config"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/rest"
	"github.com/heddle/heddle/internal/rest/auth"
)

// serveOptions are what heddle serve is called with.
type serveOptions struct {
	*factory
	Server config.Server
	Notes  []string // what of the environment is not needed
}

func newServe(f *factory, runF func(context.Context, *serveOptions) error) *cobra.Command {
	opts := &serveOptions{factory: f}
	var envFaults error
	opts.Server, opts.Notes, envFaults = config.LoadServer(f.lookup)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve runs over HTTP: an API of its own, and those of rego and chainr",
		Long: `Serve runs over HTTP. The server works on a data directory, as 'heddle run' does, and
shows what that did there. It takes up runs whose process is gone by itself.

On a loopback address everybody is let in until a first key is made; on any other
address the server does not start without a key. See 'heddle keys create --help'.

The first Ctrl-C or SIGTERM stops it in good order: it takes no more requests, gives
those under way some seconds, and leaves runs to the next server (--on-stop cancel:
cancels them and waits for their end). What runs goes on running meanwhile. The second
ends it at once, with 130; nothing is lost by that either.

Documents get, with fromFile, the files below --secrets-dir, and with fromEnv the
server's variables whose names begin with HEDDLE_SECRET_; nothing else.`,
		Example: `  heddle serve
  heddle serve --data-dir /var/lib/heddle --executor docker
  heddle keys create --role admin && heddle serve --listen 0.0.0.0:4004 --tls-cert cert.pem --tls-key key.pem
  curl -d '{"kind":"Pipeline","jobs":{"a":{"image":"busybox","run":"echo hi"}}}' localhost:4004/api/runs`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(envFaults, opts.Server.Validate()); err != nil {
				return &usageError{cmd: cmd, err: err}
			}
			return runF(cmd.Context(), opts)
		},
	}
	// Faults of the environment and of the flags are told together, by RunE.
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		envFaults = errors.Join(f.Config.Validate(), envFaults)
		return nil
	}
	flags := cmd.Flags()
	serverFlags(flags, &opts.Server)
	settingFlag(flags, "executor", &f.Config.Executor)
	retentionFlags(flags, &f.Config)
	flags.IntVar(&f.Config.Parallel, "parallel", f.Config.Parallel, "how many steps may be open at once; 0: as suits the machine (HEDDLE_PARALLEL)")
	return cmd
}

// serverFlags binds the flags of the server's settings.
func serverFlags(flags *pflag.FlagSet, s *config.Server) {
	fields := map[string]*string{"listen": &s.Listen, "tls-cert": &s.TLSCert, "tls-key": &s.TLSKey, "key-file": &s.KeyFile,
		"on-stop": &s.OnStop, "task-timeout": &s.TaskTimeout, "secrets-dir": &s.SecretsDir}
	for _, setting := range config.ServerSettings() {
		if field := fields[setting.Flag]; field != nil {
			flags.StringVar(field, setting.Flag, *field, setting.Help+" ("+setting.Env+")")
		} else if setting.Flag == "allow-host-volumes" {
			flags.BoolVar(&s.AllowHostVolumes, setting.Flag, s.AllowHostVolumes, setting.Help+" ("+setting.Env+")")
		}
	}
}

// loadDotenv lays the environment over what the file .env says, for commands that
// rego's users expect that of.
func (f *factory) loadDotenv(args []string) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = args[:1] // the command; else it comes after flags
	}
	if f.Dir == "" || !slices.Contains(args, "serve") && !slices.Contains(args, "config") {
		return nil
	}
	path := filepath.Join(f.Dir, ".env")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return heddle.Errorf(heddle.CodeInvalid, "reading variables: %w", err)
	}
	vars, err := manifest.Dotenv(path, data)
	if err != nil {
		return err
	}
	for name, value := range vars {
		if _, set := f.lookup(name); !set {
			f.Environ = append(f.Environ, name+"="+value)
		}
	}
	return nil
}

const (
	// drainTime is how long requests under way may take when the server stops.
	drainTime = 10 * time.Second
	// cancelTime is how long cancelled runs may take when the server stops.
	cancelTime = 60 * time.Second
)

func runServe(ctx context.Context, o *serveOptions) error {
	log := slog.New(newHandler(o.Err, o.Config.LogFormat, levelOf(o.Config.LogLevel)))
	for _, note := range o.Notes {
		log.Info(note)
	}
	opts, err := o.serverOptions(log)
	if err != nil {
		return err
	}
	s, err := o.OpenServer(context.WithoutCancel(ctx), opts, o.Build.Version)
	if err != nil {
		return err
	}
	closing := context.WithoutCancel(ctx)
	defer func() { _ = s.Close(closing) }() // again, unless something fails first
	if err := o.firstKey(ctx, s, log); err != nil {
		return err
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return err
	}
	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	server := rest.NewServer(o.answers(s, stopping, log))
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("listening", "address", listener.Addr().String(), "tls", o.Server.TLSCert != "", "data_dir", o.Config.DataDir)
	select {
	case <-ctx.Done():
		log.Info("stopping: no more requests are taken")
	case <-s.Done():
		log.Error("the engine has ended", "error", s.Err())
	case err = <-served:
		err = heddle.Errorf(heddle.CodeUnavailable, "listening on %s: %w", o.Server.Listen, err)
	}
	stop()
	return errors.Join(err, s.Err(), o.drain(closing, server, s, log))
}

// serverOptions is what the server is opened with.
func (o *serveOptions) serverOptions(log *slog.Logger) (app.Options, error) {
	opts := o.options(log)
	opts.AllowHostVolumes = o.Server.AllowHostVolumes
	if o.Server.SecretsDir == "" {
		return opts, nil
	}
	dir := o.Server.SecretsDir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.Dir, dir)
	}
	opts.SecretsDir = filepath.Clean(dir)
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err != nil {
		return opts, heddle.Errorf(heddle.CodeInvalid, "--secrets-dir (or HEDDLE_SECRETS_DIR): %s: %w", dir, err)
	}
	return opts, nil
}

// answers says what is answered, and how.
func (o *serveOptions) answers(s *app.Server, stopping context.Context, log *slog.Logger) rest.Options {
	return rest.Options{
		Identify: auth.Identify(s.Keys(), o.Server.Loopback(), log),
		Rego:     o.rego(s, stopping, log),
		Runs:     s.Runs(), Logs: s.Logs(), Choose: s.Choose, Executor: o.Config.Executor, SecretsDir: s.SecretsDir(), Prune: s.Prune, Ready: s.Ready,
		Metrics: s.Metrics(), Answered: s.Answered, Stopping: stopping, Version: o.Build.Version, Log: log,
	}
}

// firstKey makes the key that the settings hold, and sees to it that others than this
// machine need one.
func (o *serveOptions) firstKey(ctx context.Context, s *app.Server, log *slog.Logger) error {
	secret := o.Server.Key
	if o.Server.KeyFile != "" {
		data, err := os.ReadFile(o.Server.KeyFile)
		if err != nil {
			return heddle.Errorf(heddle.CodeInvalid, "--key-file: %w", err)
		}
		secret = strings.TrimSpace(string(data))
	}
	if secret != "" {
		key, _, err := s.Keys().CreateKey(ctx, heddle.NewKey{Role: heddle.RoleAdmin, Name: "of the server's settings", Secret: secret})
		switch {
		case err == nil:
			log.Info("made a key of the server's settings", "key", key.ID)
		case heddle.CodeOf(err) != heddle.CodeConflict: // it was made before
			return err
		}
	}
	some, err := s.Keys().Any(ctx)
	switch {
	case err != nil || some:
		return err
	case !o.Server.Loopback():
		return heddle.Errorf(heddle.CodeInvalid, "%s can be reached from other machines, and no key was made yet: make one with 'heddle keys create --role admin', "+
			"or give one by HEDDLE_KEY or --key-file; or listen on 127.0.0.1", o.Server.Listen)
	}
	log.Warn("no key was made yet: whoever can reach " + o.Server.Listen + " may do everything; 'heddle keys create' ends that")
	return nil
}

func (o *serveOptions) listen(ctx context.Context) (net.Listener, error) {
	var config *tls.Config
	if o.Server.TLSCert != "" {
		certificate, err := tls.LoadX509KeyPair(o.Server.TLSCert, o.Server.TLSKey)
		if err != nil {
			return nil, heddle.Errorf(heddle.CodeInvalid, "--tls-cert and --tls-key: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Server.Listen)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "--listen (or HEDDLE_LISTEN): %w", err)
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	return listener, nil
}

// drain lets requests under way end, then the engine.
func (o *serveOptions) drain(ctx context.Context, server *http.Server, s *app.Server, log *slog.Logger) error {
	bounded, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		log.Warn("requests were cut off", "error", err)
		_ = server.Close()
	}
	if o.Server.OnStop == "cancel" && s.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, cancelTime)
		defer cancel()
		log.Info("cancelling the runs in hand")
		if err := s.CancelAll(bounded, "the server was stopped"); err != nil {
			log.Warn("cancelling runs", "error", err)
		}
	}
	if err := s.Close(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	log.Info("stopped: runs that have not ended are taken up by the next server, or by 'heddle runs resume'")
	return nil
}
