// Package docs reads the repository's documents, so that tests can hold them to the code: examples
// load and run, commands and flags exist, refusals are quoted as they are sent, licences are named.
//
// It does not render Markdown and knows only the forms that these documents use.
//
// The info string of a fenced block says what a test does with it:
//
//	```hcl NAME              a complete configuration, loaded under that file name
//	```hcl                   part of one; rule blocks alone are loaded beside README's configuration
//	```sh run                commands, run by a test as they stand; pgsignet's and make's must exist, here and below
//	```conf write NAME       written under that name for the commands below it
//	```conf pg_hba.conf      read by a real PostgreSQL, and so is pg_ident.conf; a number behind
//	```conf pg_ident.conf 16 it is the oldest version that understands the lines
//	```conf postgresql.conf  settings that exist
//	```text demo             what the demo prints, but for numbers that change
//	```sql                   run by a superuser; a number behind it as above
//	```sh live               run line by line beside a broker with a session, 9f2c0a31... being a fingerprint
//	```sh deb                run as root where the Debian package was installed (testenv/deb)
//	```sh systemd            run there, too, under systemd
//	```sh pasted             the README's last step: serve and psql, but for the ports
//	```sh convert            run where the drivers' tests need what it makes
//	```sh unrun WHY          run by no test, which says why
//	```go run (js, python, java, sh)   a program that logs in, run where its driver is installed
package docs
