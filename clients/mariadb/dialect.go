package mariadb

import (
	"strings"

	"nemesis/clients/sql"
)

// dialect is MariaDB's SQL. The level is the session's, see setup.
func dialect() sql.Dialect {
	return sql.Dialect{
		Places:   sql.Questions,
		Begin:    "START TRANSACTION",
		Commit:   "COMMIT",
		Rollback: "ROLLBACK",
		ReadList: func(table string) string { return "SELECT value FROM " + table + " WHERE id = :key" },
		AppendList: func(table string) string {
			return "INSERT INTO " + table + " (id, value) VALUES (:key, :value) ON DUPLICATE KEY UPDATE value = CONCAT(value, ',', VALUES(value))"
		},
		ReadRegister:  "SELECT value FROM nemesis_register WHERE id = :key",
		WriteRegister: "INSERT INTO nemesis_register (id, value) VALUES (:key, :value) ON DUPLICATE KEY UPDATE value = VALUES(value)",
		// Not INSERT IGNORE, which would make other errors into warnings as well.
		CreateRegister: "INSERT INTO nemesis_register (id, value) VALUES (:key, :value) ON DUPLICATE KEY UPDATE id = id",
		SwapRegister:   "UPDATE nemesis_register SET value = :to WHERE id = :key AND value = :from",
		AddElement:     "INSERT INTO nemesis_element (name, element) VALUES (:key, :value)",
		ListElements:   "SELECT element FROM nemesis_element WHERE name = :key",
		CreateAccount:  "INSERT INTO nemesis_account (id, balance) VALUES (:key, :value) ON DUPLICATE KEY UPDATE id = id",
		InsertRow:      "INSERT INTO nemesis_row (id, grp, value) VALUES (:key, :group, :value)",
		DeleteRow:      "DELETE FROM nemesis_row WHERE id = :key",
		ReadRow:        "SELECT value FROM nemesis_row WHERE id = :key",
		MatchRows:      "SELECT id, value FROM nemesis_row WHERE grp = :group AND mod(value, :divisor) = :rest",
		NextOffset:     "INSERT INTO nemesis_head (id, next) VALUES (:key, 1) ON DUPLICATE KEY UPDATE next = next + 1 RETURNING next",
		InsertEntry:    "INSERT INTO nemesis_entry (log, id, value) VALUES (:key, :offset, :value)",
		PollEntries:    "SELECT id, value FROM nemesis_entry WHERE log = :key AND id > :after ORDER BY id",
		HighestValue:   "SELECT max(value) FROM nemesis_chain WHERE name = :key",
		InsertStamped:  "INSERT INTO nemesis_chain (name, value) VALUES (:key, :value) RETURNING stamp",
		ListStamped:    "SELECT value, stamp FROM nemesis_chain WHERE name = :key",
		ReadAccount:    "SELECT balance FROM nemesis_account WHERE id = :key",
		SetAccount:     "UPDATE nemesis_account SET balance = :value WHERE id = :key",
		ListAccounts:   "SELECT id, balance FROM nemesis_account",
		Code:           sql.Code,
	}
}

// schema makes the tables, a statement a line. A table of a cluster needs a primary key.
func schema() string {
	return strings.Join([]string{
		"CREATE TABLE nemesis_list (id VARCHAR(64) PRIMARY KEY, value MEDIUMTEXT NOT NULL) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_register (id VARCHAR(64) PRIMARY KEY, value BIGINT NOT NULL) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_element (number BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL, element BIGINT NOT NULL, KEY (name)) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_row (id VARCHAR(64) PRIMARY KEY, grp VARCHAR(64) NOT NULL, value BIGINT NOT NULL, KEY (grp)) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_head (id VARCHAR(64) PRIMARY KEY, next BIGINT NOT NULL) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_entry (log VARCHAR(64), id BIGINT, value BIGINT NOT NULL, PRIMARY KEY (log, id)) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_chain (stamp BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL, value BIGINT NOT NULL, KEY (name, value)) ENGINE=InnoDB;",
		"CREATE TABLE nemesis_account (id VARCHAR(64) PRIMARY KEY, balance BIGINT NOT NULL) ENGINE=InnoDB;",
	}, "\n") + "\n"
}
