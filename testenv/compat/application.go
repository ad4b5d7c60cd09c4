package compat

// Applications are the ORMs and frameworks of docs/compatibility.md, in its order.
func Applications() []Driver {
	return []Driver{
		{
			Key: "django", Name: "Django", Application: true, Packages: []string{"python3-django", "python3-psycopg2"},
			Needs: []string{"/usr/lib/python3/dist-packages/django", "/usr/lib/python3/dist-packages/psycopg2"},
			Build: script(python, "django_app.py"),
		},
		{
			Key: "sqlalchemy", Name: "SQLAlchemy with Alembic", Application: true,
			Packages: []string{"python3-sqlalchemy", "python3-greenlet", "python3-alembic", "python3-psycopg2", "python3-asyncpg"},
			Needs: []string{"/usr/lib/python3/dist-packages/sqlalchemy", "/usr/lib/python3/dist-packages/alembic",
				"/usr/lib/python3/dist-packages/greenlet", "/usr/lib/python3/dist-packages/asyncpg", "/usr/lib/python3/dist-packages/psycopg2"},
			Build: script(python, "sqlalchemy_app.py"),
		},
		{
			Key: "activerecord", Name: "ActiveRecord", Application: true, Packages: []string{"ruby-activerecord", "ruby-pg"},
			Needs: []string{"/usr/share/rubygems-integration/all/gems/activerecord-*", "/usr/lib/ruby/vendor_ruby/pg.rb"},
			Build: script("/usr/bin/ruby", "activerecord_app.rb"),
		},
	}
}
