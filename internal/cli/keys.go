package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/config"
)

// newKeys makes the command that groups those on keys.
func newKeys(f *factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list, rotate and revoke the keys of 'heddle serve'",
		Long: `A key lets a caller of 'heddle serve' in. It belongs to an organization: with it
nothing can be seen of the runs of others. Its role says what it may do: a viewer reads,
an operator submits, cancels and retries as well, an admin deletes runs, too. What is
kept of a key is a hash; it is shown once, when it is made.

These commands work on the database that the server uses: on its data directory, or
with the same --db-url. A server that is running heeds them within a second.`,
		Args: cobra.ArbitraryArgs,
		RunE: groupHelp,
	}
	cmd.AddCommand(newKeysCreate(f, runKeysCreate), newKeysList(f, runKeysList), newKeysRotate(f, runKeysRotate), newKeysRevoke(f, runKeysRevoke))
	return cmd
}

// keys opens the database and calls do with the keys in it.
func (f *factory) keys(ctx context.Context, do func(heddle.Keys) error) error {
	return f.history(ctx, func(r reader) error {
		keeper, ok := r.(interface{ Keys() heddle.Keys })
		if !ok {
			return heddle.Errorf(heddle.CodeUnavailable, "keys cannot be made from here")
		}
		return do(keeper.Keys())
	})
}

// madeKey is a key with its secret.
type madeKey struct {
	Key    heddle.Key `json:"key"`
	Secret string     `json:"secret"`
}

// showSecret writes the secret alone to standard output, for scripts.
func (f *factory) showSecret(made madeKey) error {
	return writeResult(f.Out, f.Config.Output, made, func(w io.Writer) error {
		fmt.Fprintf(f.Err, "heddle: made key %s (%s of organization %s). This is its secret; it cannot be shown again:\n", made.Key.ID, made.Key.Role, made.Key.Organization)
		_, err := fmt.Fprintln(w, made.Secret)
		return err
	})
}

// keysCreateOptions are what heddle keys create is called with.
type keysCreateOptions struct {
	*factory
	Key heddle.NewKey
}

func newKeysCreate(f *factory, runF func(context.Context, *keysCreateOptions) error) *cobra.Command {
	opts := &keysCreateOptions{factory: f}
	var role, expires string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and show its secret, once",
		Example: `  heddle keys create --role admin
  heddle keys create --organization team-a --name ci --expires 90d
  KEY=$(heddle keys create) && curl -H "Authorization: Bearer $KEY" localhost:4004/api/v2/runs`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Key.Role = heddle.Role(role); !opts.Key.Role.Valid() {
				return usagef(cmd, "--role: %q is none of %v", role, heddle.Roles())
			}
			if expires != "" {
				d, err := config.ParseDuration(expires)
				if err != nil || d <= 0 {
					return usagef(cmd, "--expires: %q is no length of time: write 90d, 12h or 30m", expires)
				}
				opts.Key.Expires = f.Now().Add(d)
			}
			return runF(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Key.Organization, "organization", heddle.DefaultOrganization, "whose runs the key sees; 'heddle run' makes those of default")
	flags.StringVar(&role, "role", string(heddle.RoleOperator), "what it may do: viewer, operator, admin")
	flags.StringVar(&opts.Key.Name, "name", "", "what it is for")
	flags.StringVar(&expires, "expires", "", "how long it lasts: 90d, 12h (default: for ever)")
	settingFlag(flags, "output", &f.Config.Output)
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"viewer", "operator", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runKeysCreate(ctx context.Context, o *keysCreateOptions) error {
	return o.keys(ctx, func(service heddle.Keys) error {
		key, secret, err := service.CreateKey(ctx, o.Key)
		if err != nil {
			return err
		}
		return o.showSecret(madeKey{Key: key, Secret: secret})
	})
}

// keysListOptions are what heddle keys list is called with.
type keysListOptions struct {
	*factory
	Organization string
}

func newKeysList(f *factory, runF func(context.Context, *keysListOptions) error) *cobra.Command {
	opts := &keysListOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys, oldest first, without their secrets",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	cmd.Flags().StringVar(&opts.Organization, "organization", "", "only keys of this organization")
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

func runKeysList(ctx context.Context, o *keysListOptions) error {
	return o.keys(ctx, func(service heddle.Keys) error {
		keys, err := service.ListKeys(ctx, o.Organization)
		if err != nil {
			return err
		}
		return writeResult(o.Out, o.Config.Output, keys, func(w io.Writer) error {
			t, now := newTable(w), o.Now()
			row(t, "ID", "ORGANIZATION", "ROLE", "NAME", "HINT", "CREATED", "LAST USED", "STATE")
			for i := range keys {
				k := &keys[i]
				row(t, k.ID, k.Organization, string(k.Role), k.Name, k.Hint+"...", ago(k.Created, now), ago(k.LastUsed, now), keyState(k, now))
			}
			return t.Flush()
		})
	})
}

func keyState(k *heddle.Key, now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked " + ago(k.Revoked, now)
	case !k.Live(now):
		return "expired " + ago(k.Expires, now)
	case !k.Expires.IsZero():
		return "expires " + ago(k.Expires, now)
	}
	return "live"
}

// keyOptions are what heddle keys rotate and revoke are called with.
type keyOptions struct {
	*factory
	ID    string
	Grace time.Duration
}

func newKeysRotate(f *factory, runF func(context.Context, *keyOptions) error) *cobra.Command {
	opts := &keyOptions{factory: f}
	var grace string
	cmd := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Make a key in place of another, which goes on for a while",
		Example: "  heddle keys rotate k3j2h1g0f9e8 --grace 7d",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needKey(cmd, args); err != nil {
				return err
			}
			var err error
			if opts.Grace, err = config.ParseDuration(grace); err != nil {
				return usagef(cmd, "--grace: %w", err)
			}
			opts.ID = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&grace, "grace", "24h", "how long the old key goes on; 0: not at all")
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

func runKeysRotate(ctx context.Context, o *keyOptions) error {
	return o.keys(ctx, func(service heddle.Keys) error {
		key, secret, err := service.RotateKey(ctx, o.ID, o.Grace)
		if err != nil {
			return err
		}
		return o.showSecret(madeKey{Key: key, Secret: secret})
	})
}

func newKeysRevoke(f *factory, runF func(context.Context, *keyOptions) error) *cobra.Command {
	opts := &keyOptions{factory: f}
	return &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a key at once",
		Example: "  heddle keys revoke k3j2h1g0f9e8",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needKey(cmd, args); err != nil {
				return err
			}
			opts.ID = args[0]
			return runF(cmd.Context(), opts)
		},
	}
}

func runKeysRevoke(ctx context.Context, o *keyOptions) error {
	return o.keys(ctx, func(service heddle.Keys) error {
		if err := service.RevokeKey(ctx, o.ID); err != nil {
			return err
		}
		fmt.Fprintf(o.Err, "heddle: key %s is revoked\n", o.ID)
		return nil
	})
}

// needKey wants exactly one ID of a key.
func needKey(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef(cmd, "%s takes one ID of a key, not %d: see 'heddle keys list'", cmd.CommandPath(), len(args))
	}
	return nil
}
