//! What may stand in the definition of a table or of an index.

use std::collections::BTreeSet;

use sqlite3_parser::ast::{
    Cmd, ColumnConstraint, ColumnDefinition, CreateTableBody, Expr, Literal, NamedTableConstraint,
    ResolveType, SortedColumn, Stmt, TableConstraint,
};
use sqlite3_parser::lexer::sql::Parser;
use sqlite3_parser::{Bump, FallibleIterator as _};

use super::functions::{self, Place};
use super::unquoted;

/// Why a table cannot be made that way, as far as only its text tells.
pub(super) fn refused_body(body: &CreateTableBody<'_>) -> Option<String> {
    const CONFLICT: &str = "ON CONFLICT cannot stand in a definition: it would also decide over rows that \
                            come from other members; write INSERT OR … in the statement";
    match body {
        CreateTableBody::AsSelect(_) => {
            let reason =
                "CREATE TABLE … AS has no primary key; create the table, then insert the rows";
            Some(reason.to_owned())
        }
        CreateTableBody::ColumnsAndConstraints { columns, constraints, .. } => {
            let by_column = (columns.iter())
                .flat_map(|column| column.constraints.iter())
                .any(|named| is_resolving(&named.constraint));
            let by_table = constraints.iter().flat_map(|list| list.iter()).any(is_table_resolving);
            if by_column || by_table {
                return Some(CONFLICT.to_owned());
            }
            let constraints = constraints.unwrap_or_default();
            refused_expressions(columns, constraints)
        }
    }
}

/// Why one of the expressions of a table's definition is refused.
fn refused_expressions(
    columns: &[ColumnDefinition<'_>],
    constraints: &[NamedTableConstraint<'_>],
) -> Option<String> {
    let is_generated = |column: &&ColumnDefinition<'_>| {
        let mut constraints = column.constraints.iter().map(|named| &named.constraint);
        constraints.any(|constraint| matches!(constraint, ColumnConstraint::Generated { .. }))
    };
    let generated: BTreeSet<String> = (columns.iter())
        .filter(is_generated)
        .map(|column| unquoted(column.col_name.0).to_ascii_lowercase())
        .collect();
    let by_column = |constraint: &ColumnConstraint<'_>| match constraint {
        ColumnConstraint::Check(expr) => functions::refused(expr, &Place::Definition),
        ColumnConstraint::Default(expr) => functions::refused(expr, &Place::Default),
        ColumnConstraint::Generated { expr, .. } => {
            functions::refused(expr, &Place::Generated(&generated))
        }
        ColumnConstraint::PrimaryKey { .. }
        | ColumnConstraint::NotNull { .. }
        | ColumnConstraint::Unique(_)
        | ColumnConstraint::Defer(_)
        | ColumnConstraint::Collate { .. }
        | ColumnConstraint::ForeignKey { .. } => None,
    };
    let by_table = |named: &NamedTableConstraint<'_>| match &named.constraint {
        TableConstraint::Check(expr, _) => functions::refused(expr, &Place::Definition),
        TableConstraint::PrimaryKey { columns, .. } | TableConstraint::Unique { columns, .. } => {
            refused_index(columns, None)
        }
        TableConstraint::ForeignKey { .. } => None,
    };
    (columns.iter().flat_map(|column| column.constraints))
        .find_map(|named| by_column(&named.constraint))
        .or_else(|| constraints.iter().find_map(by_table))
}

/// Why one of the expressions of an index is refused.
pub(super) fn refused_index(
    columns: &[SortedColumn<'_>],
    filter: Option<&Expr<'_>>,
) -> Option<String> {
    (columns.iter().map(|column| &column.expr))
        .chain(filter)
        .find_map(|expr| functions::refused(expr, &Place::Definition))
}

fn resolves(clause: Option<ResolveType>) -> bool {
    clause.is_some_and(|clause| !matches!(clause, ResolveType::Abort))
}

fn is_resolving(constraint: &ColumnConstraint<'_>) -> bool {
    match constraint {
        ColumnConstraint::PrimaryKey { conflict_clause, .. }
        | ColumnConstraint::NotNull { conflict_clause, .. }
        | ColumnConstraint::Unique(conflict_clause) => resolves(*conflict_clause),
        ColumnConstraint::Check(_)
        | ColumnConstraint::Default(_)
        | ColumnConstraint::Defer(_)
        | ColumnConstraint::Collate { .. }
        | ColumnConstraint::ForeignKey { .. }
        | ColumnConstraint::Generated { .. } => false,
    }
}

fn is_table_resolving(named: &NamedTableConstraint<'_>) -> bool {
    match &named.constraint {
        TableConstraint::PrimaryKey { conflict_clause, .. }
        | TableConstraint::Unique { conflict_clause, .. } => resolves(*conflict_clause),
        TableConstraint::Check(..) | TableConstraint::ForeignKey { .. } => false,
    }
}

/// What of a column's definition in a CREATE TABLE SQLite does not tell by itself, as it would stand behind
/// ADD COLUMN. None when there is no such column.
pub(crate) fn column_of(create: &str, column: &str) -> Option<Option<String>> {
    let bump = Bump::new();
    let first = Parser::new(&bump, create.as_bytes()).next().ok()??;
    let Cmd::Stmt(Stmt::CreateTable {
        body: CreateTableBody::ColumnsAndConstraints { columns, .. },
        ..
    }) = &first
    else {
        return None;
    };
    let definition =
        columns.iter().find(|one| unquoted(one.col_name.0).eq_ignore_ascii_case(column))?;
    let mut parts = Vec::new();
    for named in definition.constraints {
        match &named.constraint {
            ColumnConstraint::Collate { collation_name } => {
                parts.push(format!("COLLATE {}", collation_name.0));
            }
            // Told for the refusal, which names the reason.
            ColumnConstraint::Check(_) => parts.push("CHECK (1)".to_owned()),
            ColumnConstraint::ForeignKey { .. } => parts.push("REFERENCES t (c)".to_owned()),
            ColumnConstraint::PrimaryKey { .. }
            | ColumnConstraint::NotNull { .. }
            | ColumnConstraint::Unique(_)
            | ColumnConstraint::Default(_)
            | ColumnConstraint::Defer(_)
            | ColumnConstraint::Generated { .. } => {}
        }
    }
    Some((!parts.is_empty()).then(|| parts.join(" ")))
}

/// Why a column cannot be added that way.
pub(super) fn refused_column(column: &ColumnDefinition<'_>) -> Option<&'static str> {
    let constraints = column.constraints.iter().map(|named| &named.constraint);
    let mut is_never_null = false;
    let mut has_default = false;
    for constraint in constraints {
        match constraint {
            ColumnConstraint::Default(default) if !is_constant(default) => {
                return Some(
                    "the default of an added column must be a constant: every member gives it to the \
                     rows it has; add the column without it, then update the rows",
                );
            }
            ColumnConstraint::Default(default) => has_default = !is_null(default),
            ColumnConstraint::NotNull { nullable, .. } => is_never_null |= !nullable,
            ColumnConstraint::PrimaryKey { .. } | ColumnConstraint::Unique(_) => {
                return Some("an added column can be neither key nor UNIQUE; create a new table");
            }
            ColumnConstraint::ForeignKey { .. } => return Some(FOREIGN_KEY),
            ColumnConstraint::Check(_) => {
                return Some(
                    "an added column has no CHECK: rows of other members may contradict; \
                     create a new table",
                );
            }
            ColumnConstraint::Generated { .. } => {
                return Some(
                    "a generated column is a part of the table's first definition; \
                     write the expression in the query",
                );
            }
            ColumnConstraint::Defer(_) | ColumnConstraint::Collate { .. } => {}
        }
    }
    let resolves = column.constraints.iter().any(|named| is_resolving(&named.constraint));
    if resolves {
        return Some(
            "ON CONFLICT cannot stand in a definition; write INSERT OR … in the statement",
        );
    }
    (is_never_null && !has_default).then_some(
        "an added column that is NOT NULL needs a default: the rows that are there have no value for it",
    )
}

/// Why foreign keys are refused.
pub(crate) const FOREIGN_KEY: &str = "foreign keys are not possible: a row and the one it refers to may \
                                      come from different members, in any order; join in the query instead";

fn is_constant(expr: &Expr<'_>) -> bool {
    let mut expr = expr;
    // Not by recursion: there may be many signs in a row.
    while let Expr::Unary(_, inner) = expr {
        expr = inner;
    }
    if let Expr::Literal(literal) = expr {
        let is_clock = matches!(
            literal,
            Literal::CurrentDate | Literal::CurrentTime | Literal::CurrentTimestamp
        );
        return !is_clock;
    }
    matches!(expr, Expr::Parenthesized(list) if list.iter().all(is_constant))
}

fn is_null(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Literal(Literal::Null))
        || matches!(expr, Expr::Parenthesized(list) if list.iter().any(is_null))
}
