package notify

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/heddle/heddle"
)

// envTarget begins a target whose URL stands in a variable of the environment.
const envTarget = "env:"

// CheckTarget finds what is wrong with a target, as far as can be seen without
// telling it anything. lookup finds variables of the environment.
func CheckTarget(target string, lookup func(string) (string, bool)) error {
	if target == heddle.NoticeConsole {
		return nil
	}
	scheme, _, _ := strings.Cut(target, ":")
	if heddle.NoticeEvent(target) == heddle.NoticeStepStarted {
		if u, err := url.Parse(target); err != nil || u.Host == "" {
			return heddle.Errorf(heddle.CodeInvalid, "the %s URL names no host, or is none", scheme)
		}
		return nil
	}
	address, err := resolve(target, lookup)
	if err != nil {
		return err
	}
	if _, err := shoutrrr.CreateSender(address); err != nil {
		scheme, _, _ = strings.Cut(address, ":")
		return heddle.Errorf(heddle.CodeInvalid, "neither console, nor an http or https URL, nor one of a chat, mail or push service that can be used: %s",
			hide(err.Error(), scheme, address))
	}
	return nil
}

// resolve returns the URL that a target stands for.
func resolve(target string, lookup func(string) (string, bool)) (string, error) {
	name, ok := strings.CutPrefix(target, envTarget)
	if !ok {
		return target, nil
	}
	address, ok := lookup(name)
	if !ok || address == "" {
		return "", heddle.Errorf(heddle.CodeInvalid, "the variable %s, which is to hold the URL of a notifier, is not set", name)
	}
	if strings.HasPrefix(address, envTarget) || heddle.NoticeEvent(address) != heddle.NoticeRunEnded {
		return "", heddle.Errorf(heddle.CodeInvalid, "the variable %s holds no URL of a chat, mail or push service (for a webhook: generic://...)", name)
	}
	return address, nil
}

// sendText tells a chat, mail or push service of the end of a run.
func (n *Notifier) sendText(ctx context.Context, notice heddle.Notice, body heddle.NoticeBody) error {
	address, err := resolve(notice.Target, n.opts.Lookup)
	if err != nil {
		return &rejected{err.Error()}
	}
	scheme, _, _ := strings.Cut(address, ":")
	sender, err := shoutrrr.CreateSender(address)
	if err != nil {
		return &rejected{hide(err.Error(), scheme, address)}
	}
	sender.Timeout = postLimit
	title, text := endText(notice.Run, body)
	params := types.Params{types.TitleKey: title}
	select {
	case err := <-sender.SendAsync(text, &params):
		if err != nil {
			return fmt.Errorf("telling %s: %s", scheme, hide(err.Error(), scheme, address))
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endText is the title and the text for people.
func endText(run heddle.RunID, b heddle.NoticeBody) (title, text string) {
	name := b.Task
	if b.Workflow != "" {
		name += " " + b.Workflow
	}
	title = fmt.Sprintf("%s: %s", name, b.Status)
	text = fmt.Sprintf("%s ended with %s after %v. Run %s", name, b.Status,
		time.Duration(b.Seconds*float64(time.Second)).Round(time.Millisecond), run)
	if b.Message != "" {
		text += ": " + b.Message
	}
	return title, text
}

// hide takes out of a text what stands in an address after its scheme: tokens may be anywhere there.
func hide(text, scheme, address string) string {
	text = strings.ReplaceAll(text, address, scheme+"://***")
	rest := strings.TrimPrefix(address, scheme)
	plain, err := url.PathUnescape(rest)
	if err != nil {
		plain = rest
	}
	words := strings.FieldsFunc(rest+" "+plain, func(r rune) bool { return strings.ContainsRune(":/?&=@# ,", r) })
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, word := range words {
		if len(word) >= 4 {
			text = strings.ReplaceAll(text, word, "***")
		}
	}
	return text
}
