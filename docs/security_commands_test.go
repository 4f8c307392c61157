// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var commandMutations = []mutation{
	// Commands, files and messages.
	{
		"Passwords and tokens are hidden in messages", "cmd/slapos/secrets.go", "cmd/slapos.TestHideSecrets",
		`text = form.pattern.ReplaceAllString(text, "${1}***${2}")`,
		`_ = form.pattern`,
	},
	{
		"Messages of the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`hideSecrets(r.Message)`,
		`r.Message`,
	},
	{
		"Values in the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`a.Value = slog.StringValue(hideSecrets(value.String()))`,
		`a.Value = slog.StringValue(value.String())`,
	},
	{
		"Errors in the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`a.Value = slog.StringValue(hideSecrets(fmt.Sprint(value.Any())))`,
		`a.Value = slog.StringValue(fmt.Sprint(value.Any()))`,
	},
	{
		"Groups in the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`members = append(members, hideIn(member))`,
		`members = append(members, member)`,
	},
	{
		"Loggers with values hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecretsOfLoggers",
		`hidden[i] = hideIn(a)`,
		`hidden[i] = a`,
	},
	{
		"A new log is written by its owner alone", "cmd/slapos/log.go", "cmd/slapos.TestLogFileMode",
		`os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)`,
		`os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)`,
	},
	{
		"Names of promises are printable", "cmd/slapos/board/table.go", "cmd/slapos/board.TestPromiseTableNames",
		`p.name, terminal.OneLine(r.Name), r.state()`,
		`p.name, r.Name, r.state()`,
	},
	{
		"Entries of a cache are shown printable", "cmd/slapos/cachelookup.go", "cmd/slapos.TestCacheLookup",
		`pass.Printable(strings.Join(tableLines(rows), "\n")))`,
		`strings.Join(tableLines(rows), "\n") + pass.Printable(""))`,
	},
	{
		"A signature key is its owner's alone", "cmd/slapos/cache_generate_key.go", "cmd/slapos.TestGenerateSignatureKey",
		`writeNew(options.keyFile, key, 0o600)`,
		`writeNew(options.keyFile, key, 0o644)`,
	},
	{
		"A signature key takes no other file's place", "cmd/slapos/cache_generate_key.go", "cmd/slapos.TestWriteNew",
		`os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode`,
		`os.O_WRONLY|os.O_CREATE, mode`,
	},
	{
		"The signature key of a local node is its owner's alone", "cmd/slapos/configure_local.go", "cmd/slapos.TestLocalNodeFiles",
		`wholefile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)`,
		`wholefile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o644)`,
	},
	{
		"A node's key is root's alone", "cmd/slapos/node_register.go", "cmd/slapos.TestRegistrationFiles",
		`wholefile.Write(file.path, []byte(file.content), 0o600)`,
		`wholefile.Write(file.path, []byte(file.content), 0o644)`,
	},
	{
		"A client's key is its owner's alone", "cmd/slapos/configure_client.go", "cmd/slapos.TestConfigureClientFiles",
		`wholefile.Write(keyFile, []byte(key), 0o600)`,
		`wholefile.Write(keyFile, []byte(key), 0o644)`,
	},
	{
		"The office that makes certificates is verified", "cmd/slapos/configure.go", "cmd/slapos.TestCertificateOffice",
		`InsecureSkipVerify: o.insecure}`,
		`InsecureSkipVerify: true}`,
	},
	{
		"The answer of the office has a limit", "cmd/slapos/configure.go", "cmd/slapos.TestCertificateOffice",
		`io.LimitReader(response.Body, officeAnswer)`,
		`response.Body`,
	},
	{
		"The token for the office stays with it", "cmd/slapos/configure.go", "cmd/slapos.TestCertificateOffice",
		`r.Header.Del("X-Access-Token")`,
		`_ = r`,
	},
	{
		"The console's Python isn't looked for in the working directory", "cmd/slapos/console/python.go", "cmd/slapos/console.TestFindPythons",
		`		if directory == "" {
			continue`,
		`		if directory == "" {
			return []string{"python3"}`,
	},
	{
		"No list of processes shows the console's token", "cmd/slapos/console/python.go", "cmd/slapos/console.TestConsoleSecrets",
		`line := []string{p.Programs[0], "-c", command, "0"}`,
		`line := []string{p.Programs[0], "-c", command, p.Token}`,
	},
	{
		"A configured Python is a program", "cmd/slapos/console/python.go", "cmd/slapos/console.TestFindPythons",
		`case program == "" || !isProgram(program):`,
		`case program == "":`,
	},
	{
		"Nothing of the console's history is for others", "cmd/slapos/console/interactive.go", "cmd/slapos/console.TestConsoleHistory",
		`wholefile.Mode(0o600)`,
		`wholefile.Mode(0o644)`,
	},
	{
		"Commands for root refuse others", "cmd/slapos/environment.go", "cmd/slapos.TestCheckRoot",
		`if e.uid == 0 {`,
		`if true {`,
	},
}
