package gormkey

import (
	"fmt"

	"gorm.io/gorm/schema"
)

// addition is a table that an option adds to those of users, keys and sessions.
type addition struct {
	field   string // of TableNames
	option  string // that adds it
	on      bool   // the option is given
	name    string // its table by WithTableNames, "" for the default
	table   string // the default
	owned   bool   // each row belongs to a user, by user_id
	texts   []text
	moments []string // the columns that hold a time in milliseconds
	indexes []string // the first column of each index
}

// text is a column whose length matters to the library.
type text struct {
	column string
	size   int
	isID   bool // it is compared, so that it has to compare bytes
}

// additions returns all tables that options add, in the order in which they are made. A table
// that belongs to users is deleted in the opposite order.
func (o *options) additions() []addition {
	return []addition{
		{
			field: "Token", option: "WithOneTimeTokens", on: o.tokens, name: o.tables.Token, table: defaultTokenTable, owned: true,
			texts:   []text{{"id", tokenIDSize, true}, {"purpose", purposeSize, false}, {"payload", payloadSize, false}},
			moments: []string{"expires"}, indexes: []string{"user_id", "expires"},
		},
		{
			field: "Suspension", option: "WithSuspension", on: o.suspension, name: o.tables.Suspension, table: defaultSuspensionTable, owned: true,
			texts:   []text{{"id", suspensionIDSize, true}, {"reason", reasonSize, false}, {"by_id", byIDSize, true}},
			moments: []string{"until", "at"}, indexes: []string{"user_id"},
		},
		{
			field: "Event", option: "WithEventLog", on: o.eventLog, name: o.tables.Event, table: defaultEventTable,
			texts: []text{
				{"id", eventIDSize, true}, {"user_id", 255, true}, {"actor_id", 255, true}, {"session_id", 64, true}, {"key_id", 255, true},
				{"type", 40, false}, {"methods", 64, false}, {"purpose", purposeSize, false}, {"reason", reasonSize, false}, {"address", 45, false}, {"agent", 255, false},
			},
			moments: []string{"at", "claimed_until", "delivered_at"}, indexes: []string{"user_id", "delivered_at"},
		},
	}
}

// added returns the additions whose option is given, by their field of TableNames.
func (o *options) added() map[string]addition {
	added := map[string]addition{}
	for _, a := range o.additions() {
		if a.on {
			added[a.field] = a
		}
	}
	return added
}

// defaultTable returns the default name of a table by its field of TableNames.
func (o *options) defaultTable(field string) string {
	switch field {
	case "User":
		return defaultUserTable
	case "Key":
		return defaultKeyTable
	case "Session":
		return defaultSessionTable
	}
	return o.added()[field].table
}

// ids returns the columns that hold ids.
func (a addition) ids() (ids []string) {
	for _, c := range a.texts {
		if c.isID {
			ids = append(ids, c.column)
		}
	}
	if a.owned {
		ids = append(ids, "user_id")
	}
	return ids
}

// checkAdditions refuses the name of a table that no option makes.
func (o *options) checkAdditions() (errs []error) {
	for _, a := range o.additions() {
		if a.name != "" && !a.on {
			errs = append(errs, fmt.Errorf("WithTableNames: %s is %q, without %s, which makes the table", a.field, a.name, a.option))
		}
	}
	return errs
}

// additionModel returns a new row of an added table.
func (p *PluginOf[U, K, S]) additionModel(field string) any {
	switch field {
	case "Token":
		return new(OneTimeTokenOf[U])
	case "Suspension":
		return new(SuspensionOf[U])
	case "Event":
		return new(LoggedEventOf[U])
	}
	panic("gormkey: no table " + field)
}

// addedTable is an added table with GORM's schema of it.
type addedTable struct {
	addition
	*schema.Schema
}

// addedOf returns the added table of a schema, nil for any other.
func (b *binding) addedOf(s *schema.Schema) *addedTable {
	for i := range b.added {
		if b.added[i].Schema == s {
			return &b.added[i]
		}
	}
	return nil
}
