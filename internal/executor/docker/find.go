package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	clicontext "github.com/docker/cli/cli/context"
	endpoints "github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
)

// Daemon is where a Docker daemon should be.
type Daemon struct {
	// Host is its address, such as unix:///var/run/docker.sock.
	Host string
	// From says what named it: a variable, a context, or the usual places.
	From string

	endpoint endpoints.Endpoint
	version  string // of the API; "": what both sides know
	config   *configfile.ConfigFile
}

// Find says where the Docker daemon is, as the docker command does it: DOCKER_HOST,
// with DOCKER_TLS, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH; else DOCKER_CONTEXT or
// the current context of its configuration; else the first of the usual sockets
// that accepts a connection. DOCKER_API_VERSION is honoured. Env looks variables
// up. Whether a daemon answers there is for [Daemon.Ping] to say, save that an
// error of [heddle.CodeUnavailable] says that there is none at the usual places.
func Find(env func(name string) string) (*Daemon, error) {
	dir := env(config.EnvOverrideConfigDir)
	if dir == "" {
		dir = filepath.Join(homeDir(env), ".docker")
	}
	conf, err := config.Load(dir)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "reading docker's configuration, which is damaged: %w", err)
	}
	d := &Daemon{config: conf, version: env(client.EnvOverrideAPIVersion)}
	name := env("DOCKER_CONTEXT")
	if name == "" {
		name = conf.CurrentContext
	}
	switch {
	case env(client.EnvOverrideHost) != "":
		err = d.fromVariables(env, dir)
	case name != "" && name != "default":
		err = d.fromContext(filepath.Join(dir, "contexts"), name)
	default:
		err = d.fromSockets(sockets(env))
	}
	if err != nil {
		return nil, err
	}
	d.endpoint.Host = d.Host
	return d, nil
}

func homeDir(env func(string) string) string {
	if runtime.GOOS == "windows" {
		return env("USERPROFILE")
	}
	return env("HOME")
}

func (d *Daemon) fromVariables(env func(string) string, configDir string) error {
	d.Host, d.From = env(client.EnvOverrideHost), "DOCKER_HOST"
	if !strings.Contains(d.Host, "://") {
		d.Host = "tcp://" + d.Host
	}
	verify := env(client.EnvTLSVerify) != ""
	secure := verify || env("DOCKER_TLS") != ""
	if address, ok := strings.CutPrefix(d.Host, "tcp://"); ok && !strings.Contains(address, ":") {
		port := ":2375"
		if secure {
			port = ":2376"
		}
		d.Host += port
	}
	if !secure || !strings.HasPrefix(d.Host, "tcp://") {
		return nil
	}
	dir := env(client.EnvOverrideCertPath)
	if dir == "" {
		dir = configDir
	}
	data := &clicontext.TLSData{}
	for name, into := range map[string]*[]byte{"ca.pem": &data.CA, "cert.pem": &data.Cert, "key.pem": &data.Key} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && (!errors.Is(err, fs.ErrNotExist) || verify && name == "ca.pem") {
			return heddle.Errorf(heddle.CodeUnavailable, "reading the certificates for the docker daemon, see DOCKER_CERT_PATH: %w", err)
		}
		*into = content
	}
	d.endpoint.TLSData, d.endpoint.SkipTLSVerify = data, !verify
	return nil
}

func (d *Daemon) fromContext(dir, name string) error {
	d.From = "docker context " + name
	contexts := store.New(dir, store.NewConfig(func() any { return &map[string]any{} },
		store.EndpointTypeGetter(endpoints.DockerEndpoint, func() any { return &endpoints.EndpointMeta{} })))
	wrong := func(err error) error {
		return heddle.Errorf(heddle.CodeUnavailable, "docker context %q: %w; see docker context ls, or set DOCKER_HOST", name, err)
	}
	meta, err := contexts.GetMetadata(name)
	if err != nil {
		return wrong(err)
	}
	endpoint, err := endpoints.EndpointFromContext(meta)
	if err != nil {
		return wrong(err)
	}
	if d.endpoint, err = endpoints.WithTLSData(contexts, name, endpoint); err != nil {
		return wrong(err)
	}
	d.Host = endpoint.Host
	return nil
}

// sockets returns the usual places: the system's, rootless Docker's, and those of
// Docker Desktop, Colima, OrbStack and Rancher Desktop.
func sockets(env func(string) string) []string {
	if runtime.GOOS == "windows" {
		return []string{client.DefaultDockerHost}
	}
	hosts := []string{client.DefaultDockerHost}
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		hosts = append(hosts, "unix://"+filepath.Join(dir, "docker.sock"))
	}
	home := homeDir(env)
	for _, path := range []string{
		".docker/run/docker.sock", ".docker/desktop/docker.sock",
		".colima/default/docker.sock", ".orbstack/run/docker.sock", ".rd/docker.sock",
	} {
		hosts = append(hosts, "unix://"+filepath.Join(home, path))
	}
	return hosts
}

func (d *Daemon) fromSockets(hosts []string) error {
	d.From = "the usual places"
	var tried []string
	for _, host := range hosts {
		path, unix := strings.CutPrefix(host, "unix://")
		if !unix {
			d.Host = host
			return nil
		}
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			d.Host = host
			return conn.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			tried = append(tried, fmt.Sprintf("%s (%v)", path, errors.Unwrap(err)))
		} else {
			tried = append(tried, path)
		}
	}
	return heddle.Errorf(heddle.CodeUnavailable,
		"no docker daemon: DOCKER_HOST is not set, no docker context is chosen, and none answers at %s; start one, or set DOCKER_HOST",
		strings.Join(tried, ", "))
}

// connect makes a client, without asking the daemon anything.
func (d *Daemon) connect() (*client.Client, error) {
	options, err := d.endpoint.ClientOpts()
	if err == nil {
		if d.version != "" {
			options = append(options, client.WithAPIVersion(d.version))
		}
		var cli *client.Client
		if cli, err = client.New(options...); err == nil {
			return cli, nil
		}
	}
	return nil, heddle.Errorf(heddle.CodeUnavailable, "docker daemon %s, from %s: %w", d.Host, d.From, err)
}

func (d *Daemon) unavailable(err error) error {
	return heddle.Errorf(heddle.CodeUnavailable,
		"the docker daemon at %s, from %s, does not answer: %w; start it, or set DOCKER_HOST", d.Host, d.From, err)
}

// Ping asks the daemon for its version. An error is [heddle.CodeUnavailable] and
// says what to do.
func (d *Daemon) Ping(ctx context.Context) (version string, err error) {
	cli, err := d.connect()
	if err != nil {
		return "", err
	}
	defer cli.Close()
	answer, err := cli.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return "", d.unavailable(err)
	}
	return answer.Version, nil
}
