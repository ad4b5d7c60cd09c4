package policy

// checkMatch reports values that no certificate can have.
func (k *compiler) checkMatch(i int, r *rule) {
	for j := range r.Match {
		c := &r.Match[j]
		attr := "match." + c.Field.String()
		if len(c.Values) == 0 {
			k.fail(i, attr, "Empty list", "Nothing is in an empty list, so the %s never fits.", r.Kind)
		}
		for _, v := range c.Values {
			if v == "" {
				k.fail(i, attr, "Empty value", "A certificate's %s is never empty.", c.Name())
			}
		}
	}
}

// lint reports what only all rules together show.
func (k *compiler) lint() {}
