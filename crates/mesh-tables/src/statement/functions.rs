//! What the expressions of a definition may compute.
//!
//! They run on every member, for rows of every member: what they say must depend on the row alone, and a row
//! must not make them large or endless. So what is not known to be so is refused.

use std::collections::BTreeSet;

use sqlite3_parser::ast::{Expr, LikeOperator, Literal, Operator};

use super::unquoted;

/// Functions that depend on their arguments alone and give nothing larger than these.
const ALLOWED: [&str; 36] = [
    "abs",
    "ceil",
    "ceiling",
    "coalesce",
    "floor",
    "glob",
    "hex",
    "ifnull",
    "iif",
    "instr",
    "json_array_length",
    "json_extract",
    "json_type",
    "json_valid",
    "length",
    "like",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nullif",
    "octet_length",
    "round",
    "rtrim",
    "sign",
    "sqrt",
    "substr",
    "substring",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unlikely",
    "upper",
];

/// Most operations of one expression whose result is larger than what they are given.
const GROWING_MAX: usize = 32;

/// Where an expression stands.
pub(super) enum Place<'p> {
    /// In a CHECK or an index.
    Definition,
    /// What a column has when it is not given. It is computed once, and travels as a value.
    Default,
    /// A generated column, of a table whose generated columns have these names in lower case.
    Generated(&'p BTreeSet<String>),
}

/// Why an expression is refused.
pub(super) fn refused(expr: &Expr<'_>, place: &Place<'_>) -> Option<String> {
    let mut growing = 0;
    // Not by recursion: a long sum is as deep as it is long.
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        if let Some(reason) = refused_here(expr, place) {
            return Some(reason);
        }
        growing += usize::from(grows(expr));
        inner(expr, &mut open);
    }
    (growing > GROWING_MAX).then(|| {
        format!(
            "an expression joins at most {GROWING_MAX} values with || or hex(): it is computed for the \
             rows of every member; compute it in the query"
        )
    })
}

/// Why an expression is refused, whatever stands in it.
fn refused_here(expr: &Expr<'_>, place: &Place<'_>) -> Option<String> {
    const SUBQUERY: &str = "a subquery cannot stand in a definition: members have different rows at the \
                            time; look the value up in the statement that writes";
    match expr {
        Expr::FunctionCall { name, distinctness, args, order_by, filter_over } => {
            if distinctness.is_some() || order_by.is_some() || filter_over.is_some() {
                return Some(refused_function(name.0));
            }
            refused_call(name.0, args.unwrap_or_default())
        }
        Expr::FunctionCallStar { name, .. } => Some(refused_function(name.0)),
        Expr::Exists(_) | Expr::Subquery(_) | Expr::InSelect { .. } | Expr::InTable { .. } => {
            Some(SUBQUERY.to_owned())
        }
        Expr::Like { op, .. } => match op {
            LikeOperator::Like | LikeOperator::Glob => None,
            LikeOperator::Match => Some(refused_function("match")),
            LikeOperator::Regexp => Some(refused_function("regexp")),
        },
        Expr::Literal(literal) => refused_literal(literal, place),
        Expr::Id(id) => refused_name(id.0, place),
        Expr::Name(name) | Expr::Qualified(_, name) | Expr::DoublyQualified(_, _, name) => {
            refused_name(name.0, place)
        }
        Expr::Raise(..) => Some("RAISE is for triggers; write a CHECK".to_owned()),
        Expr::Variable(_) => {
            Some("a definition has no parameters; write the value into it".to_owned())
        }
        Expr::Between { .. }
        | Expr::Binary(..)
        | Expr::Case { .. }
        | Expr::Cast { .. }
        | Expr::Collate(..)
        | Expr::InList { .. }
        | Expr::IsNull(_)
        | Expr::NotNull(_)
        | Expr::Parenthesized(_)
        | Expr::Unary(..) => None,
    }
}

fn refused_call(name: &str, args: &[Expr<'_>]) -> Option<String> {
    let lower = unquoted(name).to_ascii_lowercase();
    if !ALLOWED.contains(&lower.as_str()) {
        return Some(refused_function(name));
    }
    let is_plain = |arg: &Expr<'_>| {
        matches!(arg, Expr::Id(_) | Expr::Name(_) | Expr::Qualified(..) | Expr::DoublyQualified(..))
    };
    (lower == "hex" && !args.iter().all(is_plain)).then(|| {
        "hex() in a definition takes a column: nested it would double with every step; \
         compute it in the statement that writes"
            .to_owned()
    })
}

fn refused_function(name: &str) -> String {
    format!(
        "the function {:?} cannot stand in a definition: it runs on every member, and its result must be \
         the same everywhere and small; give its value in the statement that writes, or use one of {}",
        unquoted(name),
        ALLOWED.join(", ")
    )
}

fn refused_literal(literal: &Literal<'_>, place: &Place<'_>) -> Option<String> {
    let name = match literal {
        Literal::CurrentDate => "CURRENT_DATE",
        Literal::CurrentTime => "CURRENT_TIME",
        Literal::CurrentTimestamp => "CURRENT_TIMESTAMP",
        Literal::Keyword(word) => return Some(format!("{word} cannot stand in an expression")),
        Literal::Numeric(_) | Literal::String(_) | Literal::Blob(_) | Literal::Null => return None,
    };
    match place {
        Place::Default => None,
        Place::Definition | Place::Generated(_) => Some(format!(
            "{name} stands in a definition only as a DEFAULT: elsewhere each member would compute another one"
        )),
    }
}

/// Generated columns that build upon one another would double with every step.
fn refused_name(name: &str, place: &Place<'_>) -> Option<String> {
    match place {
        Place::Generated(generated) => {
            let name = unquoted(name);
            generated.contains(&name.to_ascii_lowercase()).then(|| {
                format!(
                    "a generated column cannot be computed from another one, {name:?}; \
                     write out what it is computed from"
                )
            })
        }
        Place::Definition | Place::Default => None,
    }
}

/// Whether the result may be larger than what it is computed from.
fn grows(expr: &Expr<'_>) -> bool {
    if let Expr::FunctionCall { name, .. } = expr {
        return unquoted(name.0).eq_ignore_ascii_case("hex");
    }
    matches!(expr, Expr::Binary(_, Operator::Concat, _))
}

/// Adds what an expression is made of.
fn inner<'e, 'b>(expr: &'e Expr<'b>, open: &mut Vec<&'e Expr<'b>>) {
    match expr {
        Expr::Between { lhs, start, end, .. } => open.extend([*lhs, *start, *end]),
        Expr::Binary(left, _, right) => open.extend([*left, *right]),
        Expr::Case { base, when_then_pairs, else_expr } => {
            open.extend(base.iter().chain(else_expr).copied());
            open.extend(when_then_pairs.iter().flat_map(|(when, then)| [when, then]));
        }
        Expr::Cast { expr, .. }
        | Expr::Collate(expr, _)
        | Expr::IsNull(expr)
        | Expr::NotNull(expr)
        | Expr::Unary(_, expr) => open.push(expr),
        Expr::FunctionCall { args, .. } => open.extend(args.unwrap_or_default()),
        Expr::InList { lhs, rhs, .. } => {
            open.push(lhs);
            open.extend(rhs.unwrap_or_default());
        }
        Expr::Like { lhs, rhs, escape, .. } => {
            open.extend([*lhs, *rhs]);
            open.extend(escape);
        }
        Expr::Parenthesized(list) => open.extend(list.iter()),
        // What stands in these is refused with them.
        Expr::Exists(_)
        | Expr::FunctionCallStar { .. }
        | Expr::InSelect { .. }
        | Expr::InTable { .. }
        | Expr::Raise(..)
        | Expr::Subquery(_) => {}
        Expr::DoublyQualified(..)
        | Expr::Id(_)
        | Expr::Literal(_)
        | Expr::Name(_)
        | Expr::Qualified(..)
        | Expr::Variable(_) => {}
    }
}

#[cfg(test)]
mod tests;
