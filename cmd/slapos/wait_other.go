// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"slapos/slap"
)

// elsewhere looks at a service by what masters tell that keep no conditions: news,
// as a SlapOS Master has them, or else whether it has published something, or is gone.
func (w *waiter) elsewhere(ctx context.Context, title string, wanted slap.Condition) (string, bool, error) {
	master, err := w.client.Hateoas(ctx)
	if err != nil {
		return "", false, slap.ErrForgetful
	}
	service, err := master.Service(ctx, title)
	if errors.Is(err, slap.ErrNotFound) {
		return title + " isn't there", wanted == conditionDestroyed, nil
	}
	if err != nil {
		return "", false, err
	}
	var news []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(service.News, &news) // one without news has null
	switch {
	case wanted == conditionDestroyed:
		return title + " is still there", false, nil
	case len(news) == 0 && wanted == slap.ConditionRunning:
		return title + " has published nothing", len(service.ConnectionParameters) > 0, nil
	case len(news) == 0:
		return "", false, slap.ErrForgetful
	}
	for _, item := range news {
		access := strings.HasPrefix(item.Text, "#access")
		if !access || (wanted == slap.ConditionStopped) != strings.Contains(item.Text, "stopped") {
			return shown(title + ": " + item.Text), false, nil
		}
	}
	return "", true, nil
}
