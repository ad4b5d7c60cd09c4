# ActiveRecord over ruby-pg, with its defaults: prepared statements, and migrations under a lock of the session.
require "json"
require "active_record"

TABLE = ENV.fetch("COMPAT_TABLE")
ROWS = 1000
$stdout.sync = true
ActiveRecord::Migration.verbose = false
ActiveRecord::Base.schema_migrations_table_name = "#{TABLE}_migrations"
ActiveRecord::Base.internal_metadata_table_name = "#{TABLE}_metadata"
ActiveRecord::Base.establish_connection(adapter: "postgresql", database: ENV.fetch("PGDATABASE"), pool: 10)

class Account < ActiveRecord::Base
  self.table_name = TABLE
  has_many :entries, dependent: :destroy
end

class Entry < ActiveRecord::Base
  self.table_name = "#{TABLE}_entry"
  belongs_to :account
end

class MakeAccounts < ActiveRecord::Migration[6.1]
  def change
    create_table TABLE do |t|
      t.text :name, null: false, index: { unique: true }
      t.decimal :balance, precision: 12, scale: 2, default: 0, null: false
      t.jsonb :notes, default: {}
      t.text :tags, array: true
      t.integer :lock_version, default: 0
      t.timestamps
    end
    create_table("#{TABLE}_entry") { |t| t.references(:account, foreign_key: { to_table: TABLE }); t.decimal :amount }
  end
end

class IndexNotes < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def change
    add_index TABLE, :notes, using: :gin, algorithm: :concurrently
  end
end

MIGRATIONS = [MakeAccounts.new("MakeAccounts", 1), IndexNotes.new("IndexNotes", 2)].freeze

def report(step, status, detail)
  puts JSON.generate(step: step, status: status, detail: detail.to_s.strip)
end

def expect(got, want)
  raise "got #{got.inspect[0, 100]}, want #{want.inspect[0, 100]}" unless got == want
end

def refill(count = ROWS)
  Entry.delete_all
  Account.delete_all
  now = Time.now
  Account.insert_all(Array.new(count) { |i| { name: "row #{i}", notes: { i: i }, tags: %w[a b], created_at: now, updated_at: now } })
end

def migrator(direction, target = nil)
  ActiveRecord::Migrator.new(direction, MIGRATIONS, ActiveRecord::SchemaMigration, target).migrate
end

def migrate
  ActiveRecord::Base.connection.drop_table("#{TABLE}_entry", if_exists: true)
  ActiveRecord::Base.connection.drop_table(TABLE, if_exists: true)
  ActiveRecord::SchemaMigration.create_table
  ActiveRecord::SchemaMigration.delete_all
  ActiveRecord::InternalMetadata.create_table
  migrator(:up)
  migrator(:down, 0)
  migrator(:up)
  expect(ActiveRecord::SchemaMigration.all_versions.sort, %w[1 2])
  [Account, Entry].each(&:reset_column_information)
  nil
end

def reflect
  connection = ActiveRecord::Base.connection
  expect(connection.columns(TABLE).map(&:name), %w[id name balance notes tags lock_version created_at updated_at])
  expect(connection.indexes(TABLE).map { |i| [i.columns, i.unique, i.using] }.sort_by(&:to_s), [[["name"], true, :btree], [["notes"], false, :gin]])
  expect(connection.foreign_keys("#{TABLE}_entry").map(&:to_table), [TABLE])
end

def objects
  refill(100)
  expect(Account.where("(notes->>'i')::int >= ?", 90).update_all(balance: 5), 10)
  owner = Account.create!(name: "owner", tags: %w[x], entries: [Entry.new(amount: 1), Entry.new(amount: "2.5")])
  expect(Account.includes(:entries).find_by!(name: "owner").entries.sum(&:amount), 3.5.to_d)
  stale = Account.find(owner.id)
  owner.update!(balance: 7)
  begin
    stale.update!(balance: 8)
  rescue ActiveRecord::StaleObjectError
    owner.destroy!
  end
  expect(Account.sum(:balance), 50)
end

def savepoint
  refill(1)
  Account.transaction do
    begin
      Account.transaction(requires_new: true) { Account.create!(name: "row 0") }
    rescue ActiveRecord::RecordNotUnique
      Account.create!(name: "after the error")
    end
  end
  Account.transaction do
    Account.create!(name: "lost")
    raise ActiveRecord::Rollback
  end
  expect(Account.order(:id).pluck(:name), ["row 0", "after the error"])
end

def row_locks
  refill(2)
  Account.transaction do
    Account.lock.find_by!(name: "row 0")
    seen = Thread.new do
      ActiveRecord::Base.connection_pool.with_connection do
        names = Account.lock("FOR UPDATE SKIP LOCKED").pluck(:name)
        begin
          Account.lock("FOR UPDATE NOWAIT").find_by!(name: "row 0")
        rescue ActiveRecord::LockWaitTimeout => e
          names << e.cause.result.error_field(PG::PG_DIAG_SQLSTATE)
        end
      end
    end.value
    expect(seen, ["row 1", "55P03"])
  end
end

# ActiveRecord has no cursor: find_each asks for the rows behind the last one.
def cursor
  refill
  expect(Account.find_each(batch_size: 50).map(&:name), Array.new(ROWS) { |i| "row #{i}" })
end

def together
  refill(1)
  threads = Array.new(8) do
    Thread.new do
      ActiveRecord::Base.connection_pool.with_connection do
        10.times { Account.first.with_lock { Account.first.increment!(:balance) } }
      end
    end
  end
  threads.each(&:join)
  expect(Account.first.balance, 80)
end

puts JSON.generate(driver: "ActiveRecord", version: ActiveRecord.version.to_s, library: "ruby-pg #{PG::VERSION}")
Thread.new { sleep 90; report("timeout", "fail", "no end after 90 s"); exit!(1) }
%i[migrate reflect objects savepoint row_locks cursor together].each do |name|
  report(name, "ok", send(name).then { |detail| detail.is_a?(String) ? detail : "" })
rescue StandardError => e
  report(name, "fail", "#{e.class}: #{e.message}")
end
