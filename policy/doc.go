// Package policy decides who becomes which role: it compiles rules and gives each login a
// grant, or a refusal with its reason.
//
// It reads no files, no clock and no network, and it does not know how rules are written.
//
// # Where the manual leaves a choice
//
// Everything that is in doubt refuses, or lets a deny fit:
//
//   - An expression is evaluated last, when all else fits. One that fails, or whose value is
//     unknown or null, refuses the login; later maps are not asked, since they may grant more. In
//     a deny it refuses too.
//   - For an expression, a text that the certificate does not have is null: functions fail on it,
//     and nothing is equal to it. Text that go-cty would change (it brings all to NFC) is unknown.
//   - A deny on cn fits any of several names, and one on spiffe any such URI, also where a map
//     sees no value (T18, T26). Under (?i) it folds as Unicode does; a map never fits non-ASCII (T5).
//   - A capture that may be no role leaves its whole map unfit, also where another role of the map
//     would do. So does a second value of the certificate that yields another role (T8, T9, T19).
//   - A replication connection needs a map with `replication`, and gets pool_mode session.
//   - The admin console is reached by admin maps only, on listeners that offer it; no other map
//     leads to its names, and no database block does.
//
// A refusal's reason is how far the best map came, by match, listeners and from, then user, then
// database; `when` counts as not fitting at all, since it comes last. ambiguous_identity and
// role_name take the place of no_map.
package policy
