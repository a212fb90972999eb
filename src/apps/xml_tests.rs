use proptest::prelude::*;

use super::*;

fn elements(source: &str) -> Vec<Element<'_>> {
    let only = |node| match node {
        Node::Element(element) => Some(element),
        _ => None,
    };
    parse(source).into_iter().filter_map(only).collect()
}

fn joined(nodes: &[Node<'_>]) -> String {
    let outer = |node: &Node<'_>| match node {
        Node::Text(text) | Node::Comment(text) => (*text).to_owned(),
        Node::Element(element) => element.outer.to_owned(),
    };
    nodes.iter().map(outer).collect()
}

#[test]
fn contents_are_raw() {
    let table = [
        ("<script>a < b && c</script>", "a < b && c"),
        ("<script>x = \"</scripts>\"</script>", "x = \"</scripts>\""),
        ("<SCRIPT lang=python>1</Script >", "1"),
        ("<file name='a'><b>x</b>&amp;</file>", "<b>x</b>&amp;"),
        ("<file>a<file>b</file>c</file>", "a<file>b</file>c"),
        ("<file>a<file/>c</file>", "a<file/>c"),
        ("<file>mentions <file> once</file>", "mentions <file> once"),
        (
            "<file name=i><script>1</script></file>",
            "<script>1</script>",
        ),
        (
            "<config>{\"a\": \"<config>\"}</config>",
            "{\"a\": \"<config>\"}",
        ),
        ("<script>never closed", "never closed"),
        ("<file></file>", ""),
        ("<window a=\"x > y\">w</window>", "w"),
    ];
    for (source, inner) in table {
        let found = elements(source);
        assert_eq!(found.len(), 1, "{source}");
        assert_eq!(found[0].inner, inner, "{source}");
    }
}

#[test]
fn attributes_in_all_their_forms() {
    let source =
        r#"<file NAME="a b.txt" format='json' raw flag=1 title="x &lt;&amp;lt; y" / >t</file>"#;
    let found = elements(source);
    let expected = [
        ("name", "a b.txt"),
        ("format", "json"),
        ("raw", ""),
        ("flag", "1"),
        ("title", "x <&lt; y"),
    ];
    for (name, value) in expected {
        assert_eq!(found[0].attribute(name), Some(value));
    }
    assert_eq!(found[0].attribute("absent"), None);
}

#[test]
fn void_and_self_closed_elements_have_no_contents() {
    let found = elements("<link rel=x href='y'>text<link href='z'></link><file name='e'/>rest");
    let inner: Vec<_> = found.iter().map(|e| (e.tag, e.inner)).collect();
    assert_eq!(inner, [(Tag::Link, ""), (Tag::Link, ""), (Tag::File, "")]);
}

#[test]
fn other_markup_and_comments_are_kept_apart() {
    let source = "<div>1</div><!-- <script>no</script> --><files>2</files><script>3</script>";
    let nodes = parse(source);
    assert_eq!(nodes[0], Node::Text("<div>1</div>"));
    assert_eq!(nodes[1], Node::Comment("<!-- <script>no</script> -->"));
    assert_eq!(nodes[2], Node::Text("<files>2</files>"));
    assert!(matches!(&nodes[3], Node::Element(e) if e.inner == "3"));
    let open_ended = "a <!-- never ends <script>1</script>";
    assert_eq!(elements(open_ended)[0].inner, "1");
}

#[test]
fn broken_tags_are_text() {
    for source in [
        "<script",
        "<script lang=",
        "<script lang=\"x>",
        "<",
        "</script>",
        "<scripty>",
    ] {
        assert_eq!(parse(source), [Node::Text(source)], "{source}");
    }
}

#[test]
fn hostile_repetition_is_cheap() {
    // Quadratic work on these would take minutes.
    for piece in [
        "<file>",
        "<file><file></file>",
        "<!-- ",
        "</file>",
        "<script ",
        "<script a=\"",
        "<script a=b\"",
        "<script a=\"<script b='",
        "<link>",
    ] {
        let source = piece.repeat(400_000 / piece.len());
        assert_eq!(joined(&parse(&source)), source);
    }
}

proptest! {
    #[test]
    fn any_text_is_partitioned(source in "(<|>|/|=|\"|'|!--|-->|script|file|config|link| |[a-z&;é]){0,60}") {
        prop_assert_eq!(joined(&parse(&source)), source);
    }

    #[test]
    fn script_text_is_never_lost(
        before in "[ -;=?-~\n]{0,40}",
        code in "[ -~\né]{0,200}",
        after in "[ -;=?-~\n]{0,40}",
    ) {
        prop_assume!(!code.to_ascii_lowercase().contains("</script"));
        let source = format!("{before}<script lang=\"python\">{code}</script>{after}");
        let found = elements(&source);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].inner, code.as_str());
        prop_assert_eq!(found[0].attribute("lang"), Some("python"));
    }
}
